// Against frequencies that transformers 5.24 computes (LlamaRotaryEmbedding.inv_freq, f32).
#include "engine/weights/rope.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "engine/weights/hf_config.h"

namespace skipbench {
namespace {

RopeConfig rope_of(const std::string& json, int head_dim, int64_t positions) {
  return read_hf_rope(JsonObject("config.json", parse_json(json, "config.json")), head_dim,
                      positions);
}

void expect_rope(const RopeConfig& rope, const std::vector<double>& want, double attention_factor) {
  ASSERT_EQ(rope.inverse_frequencies.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    // The reference is rounded to f32 in each of about eight steps.
    EXPECT_NEAR(rope.inverse_frequencies[i], want[i], 8 * 0x1p-24 * want[i]) << i;
  }
  EXPECT_NEAR(rope.attention_factor, attention_factor, 1e-8);
}

const std::vector<double> kDefault16 = {1,    0.316227764,   0.100000001,   0.0316227786,
                                        0.01, 0.00316227786, 0.00100000005, 0.000316227786};

TEST(RopeTest, DefaultInEverySpelling) {
  expect_rope(rope_of("{}", 16, 2048), kDefault16, 1);
  expect_rope(rope_of(R"({"rope_theta": 10000, "rope_scaling": null})", 16, 2048), kDefault16, 1);
  expect_rope(rope_of(R"({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})", 16, 1),
              kDefault16, 1);
  // A theta inside the parameters wins over one beside them, as in transformers.
  expect_rope(rope_of(R"({"rope_theta": 7, "rope_parameters": {"rope_theta": 1e4}})", 16, 1),
              kDefault16, 1);
  expect_rope(rope_of(R"({"rope_scaling": {"type": "default"}, "rope_parameters": {"rope_theta": 9,
                         "rope_type": "linear", "factor": 2}})",
                      16, 1),
              kDefault16, 1);
}

TEST(RopeTest, Linear) {
  for (const char* json : {R"({"rope_scaling": {"type": "linear", "factor": 4.0}})",
                           R"({"rope_scaling": {"rope_type": "linear", "factor": 4}})",
                           R"({"rope_parameters": {"rope_type": "linear", "factor": 4.0,
                               "rope_theta": 10000.0}})"}) {
    std::vector<double> want = kDefault16;
    for (double& f : want) f /= 4;
    expect_rope(rope_of(json, 16, 2048), want, 1);
  }
}

TEST(RopeTest, Llama3) {
  expect_rope(rope_of(R"({"rope_theta": 500000.0, "rope_scaling": {"factor": 8.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
      "rope_type": "llama3"}})",
                      16, 131072),
              {1, 0.193922758, 0.0376060307, 0.00729266508, 0.000524846022, 3.42810235e-05,
               6.64786967e-06, 1.28917316e-06},
              1);
  expect_rope(rope_of(R"({"rope_parameters": {"rope_theta": 10000.0, "factor": 32.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 256,
      "rope_type": "llama3"}})",
                      32, 512),
              {1, 0.562341332, 0.316227764, 0.177827939, 0.100000001, 0.025203852, 0.0039334991,
               0.000555712322, 0.000312499993, 0.000175731664, 9.88211832e-05, 5.55712322e-05,
               3.12500015e-05, 1.75731657e-05, 9.88211832e-06, 5.55712313e-06},
              1);
}

TEST(RopeTest, Yarn) {
  expect_rope(rope_of(R"({"rope_theta": 1000000.0, "rope_scaling": {"factor": 4.0, "type": "yarn",
      "original_max_position_embeddings": 32768}})",
                      32, 131072),
              {1, 0.421696514, 0.177827939, 0.0749894157, 0.0316227786, 0.0133352149, 0.00477990136,
               0.00165996165, 0.000549999997, 0.000168678584, 4.44569851e-05, 1.87473561e-05,
               7.90569356e-06, 3.33380353e-06, 1.40585337e-06, 5.92843435e-07},
              1.13862944);
  expect_rope(rope_of(R"({"rope_parameters": {"rope_theta": 10000, "factor": 16.0,
      "rope_type": "yarn", "original_max_position_embeddings": 256, "beta_fast": 16,
      "beta_slow": 2, "truncate": false}})",
                      16, 4096),
              {1, 0.285350084, 0.0383304954, 0.00197642366, 0.000624999986, 0.000197642366,
               6.2500003e-05, 1.97642366e-05},
              1.27725887);
  // "factor" null: the ratio of the context lengths. 4096 / 256 = 16.
  expect_rope(rope_of(R"({"rope_parameters": {"rope_theta": 10000, "factor": null,
      "rope_type": "yarn", "original_max_position_embeddings": 256, "mscale": 0.707,
      "mscale_all_dim": 1.0}})",
                      16, 4096),
              {1, 0.242111877, 0.0531250015, 0.00938801281, 0.000624999986, 0.000197642366,
               6.2500003e-05, 1.97642366e-05},
              0.936397506);
  expect_rope(rope_of(R"({"original_max_position_embeddings": 2048, "rope_parameters": {
      "factor": 2.0, "rope_type": "yarn", "attention_factor": 0.5}})",
                      16, 4096),
              {1, 0.316227764, 0.100000001, 0.0276699308, 0.00749999983, 0.00197642366,
               0.000500000024, 0.000158113893},
              0.5);
}

TEST(RopeTest, RefusesTheRest) {
  for (const char* json :
       {R"({"rope_scaling": {"type": "dynamic", "factor": 2}})",
        R"({"rope_scaling": {"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}})",
        R"({"rope_parameters": {"rope_type": "proportional"}})",
        R"({"rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]}})",
        R"({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}})",
        R"({"rope_scaling": {"type": "linear"}})",
        R"({"rope_scaling": {"type": "linear", "factor": 0}})",
        R"({"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 2}})",
        R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1}})",
        R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
            "high_freq_factor": 4}})",
        R"({"rope_scaling": {"type": "yarn", "factor": 2, "beta_slow": -1}})",
        R"({"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": 1e300}})",
        R"({"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": 0}})",
        R"({"rope_scaling": {"type": "yarn", "factor": -2}})", R"({"rope_scaling": "linear"})",
        R"({"rope_theta": 0})", R"({"rope_theta": "big"})", R"({"partial_rotary_factor": 0.5})",
        R"({"rope_parameters": {"partial_rotary_factor": 0.5}})"}) {
    EXPECT_THROW(rope_of(json, 16, 2048), Error) << json;
  }
  EXPECT_THROW(rope_of("{}", 15, 2048), Error);
}

}  // namespace
}  // namespace skipbench
