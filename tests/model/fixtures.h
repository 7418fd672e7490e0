// The committed models and what they compute (tests/fixtures/README.md says where that comes from).
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/decoder.h"
#include "engine/weights/load.h"

namespace skipbench {

// The bar of the parity claim: log-probabilities in f32 against f32 or f64 sums of another order.
inline constexpr double kLogProbTolerance = 1e-4;

std::filesystem::path fixtures_folder();

// Names of the case files, without ".json", sorted.
std::vector<std::string> case_names();

nlohmann::json read_case(const std::string& name);

std::vector<ScoreRequest> requests_of(const nlohmann::json& fixture);

StrategySpec spec_of(const nlohmann::json& one_case);

// A fixture's name with what GoogleTest allows in a test's.
std::string as_test_name(std::string fixture);
std::string fixture_test_name(const testing::TestParamInfo<std::string>& info);

// `count` prompts of 1 to 7 tokens below `vocabulary`.
std::vector<TokenIds> ragged_prompts(int count, int vocabulary = 61);

// A model with its backend and decoder, ready to run.
class LoadedDecoder {
 public:
  LoadedDecoder(const std::string& path, const DeviceSpec& device)
      : loaded_(load_model(path)),
        backend_(make_backend(device)),
        model_(loaded_, *backend_),
        decoder_(model_) {}

  LoadedModel& loaded() { return loaded_; }
  Decoder& decoder() { return decoder_; }
  int num_layers() const { return loaded_.config.num_layers; }

 private:
  LoadedModel loaded_;
  std::unique_ptr<Backend> backend_;
  Model model_;
  Decoder decoder_;
};

}  // namespace skipbench
