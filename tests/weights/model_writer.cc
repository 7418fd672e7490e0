#include "tests/weights/model_writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "engine/base/error.h"
#include "engine/weights/load.h"

namespace skipbench::test {
namespace {

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void put_string(std::string& out, const std::string& text) {
  put<uint64_t>(out, text.size());
  out += text;
}

uint32_t ggml_number(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kBF16:
      return 30;
    case DType::kQ8_0:
      return 8;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
  }
  return 0;
}

uint32_t name_hash(std::string_view name) {
  uint32_t hash = 2166136261u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

}  // namespace

int64_t Tensor::elements() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

float cell(std::string_view name, int64_t i) {
  const uint32_t mixed = (name_hash(name) + static_cast<uint32_t>(i)) * 2654435761u;
  return (static_cast<float>(mixed >> 27) - 16) / 4;
}

std::string tensor_bytes(const Tensor& tensor) {
  std::string bytes;
  if (is_quantised(tensor.type)) {
    const int64_t size = bytes_of(tensor.type, tensor.elements());
    for (int64_t i = 0; i < size; ++i) {
      bytes += static_cast<char>(name_hash(tensor.name) + 31 * i);
    }
    return bytes;
  }
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const float value = cell(tensor.name, i);
    if (tensor.type == DType::kF32) put(bytes, value);
    if (tensor.type == DType::kF16) put(bytes, f32_to_f16(value));
    if (tensor.type == DType::kBF16) put(bytes, f32_to_bf16(value));
  }
  return bytes;
}

std::string safetensors_bytes(const std::vector<Tensor>& tensors) {
  std::string header = "{\"__metadata__\": {\"format\": \"pt\"}";
  std::string data;
  for (const Tensor& tensor : tensors) {
    const std::string bytes = tensor_bytes(tensor);
    const char* type = tensor.type == DType::kF32   ? "F32"
                       : tensor.type == DType::kF16 ? "F16"
                                                    : "BF16";
    header += fmt::format(
        ", \"{}\": {{\"dtype\": \"{}\", \"shape\": [{}], \"data_offsets\": [{}, {}]}}", tensor.name,
        type, fmt::join(tensor.shape, ", "), data.size(), data.size() + bytes.size());
    data += bytes;
  }
  header += "}";
  std::string file;
  put_string(file, header);
  return file + data;
}

std::string safetensors_raw(const std::string& header, size_t data_bytes) {
  std::string file;
  put_string(file, header);
  return file + std::string(data_bytes, '\0');
}

GgufWriter& GgufWriter::raw(const std::string& key, uint32_t type, const std::string& bytes) {
  put_string(keys_, key);
  put(keys_, type);
  keys_ += bytes;
  ++num_keys_;
  return *this;
}

GgufWriter& GgufWriter::u32(const std::string& key, uint32_t value) {
  std::string bytes;
  put(bytes, value);
  return raw(key, 4, bytes);
}

GgufWriter& GgufWriter::u64(const std::string& key, uint64_t value) {
  std::string bytes;
  put(bytes, value);
  return raw(key, 10, bytes);
}

GgufWriter& GgufWriter::i32(const std::string& key, int32_t value) {
  std::string bytes;
  put(bytes, value);
  return raw(key, 5, bytes);
}

GgufWriter& GgufWriter::f32(const std::string& key, float value) {
  std::string bytes;
  put(bytes, value);
  return raw(key, 6, bytes);
}

GgufWriter& GgufWriter::boolean(const std::string& key, bool value) {
  return raw(key, 7, std::string(1, value ? '\1' : '\0'));
}

GgufWriter& GgufWriter::text(const std::string& key, const std::string& value) {
  std::string bytes;
  put_string(bytes, value);
  return raw(key, 8, bytes);
}

GgufWriter& GgufWriter::texts(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes;
  put<uint32_t>(bytes, 8);
  put<uint64_t>(bytes, values.size());
  for (const std::string& value : values) put_string(bytes, value);
  return raw(key, 9, bytes);
}

GgufWriter& GgufWriter::u32s(const std::string& key, const std::vector<uint32_t>& values) {
  std::string bytes;
  put<uint32_t>(bytes, 4);
  put<uint64_t>(bytes, values.size());
  for (const uint32_t value : values) put(bytes, value);
  return raw(key, 9, bytes);
}

GgufWriter& GgufWriter::f32s(const std::string& key, const std::vector<float>& values) {
  std::string bytes;
  put<uint32_t>(bytes, 6);
  put<uint64_t>(bytes, values.size());
  for (const float value : values) put(bytes, value);
  return raw(key, 9, bytes);
}

GgufWriter& GgufWriter::tensor_header(const std::string& name, const std::vector<uint64_t>& ne,
                                      uint32_t type, uint64_t offset) {
  put_string(tensors_, name);
  put(tensors_, static_cast<uint32_t>(ne.size()));
  for (const uint64_t extent : ne) put(tensors_, extent);
  put(tensors_, type);
  put(tensors_, offset);
  ++num_tensors_;
  return *this;
}

GgufWriter& GgufWriter::tensor(const Tensor& tensor) {
  while (data_.size() % alignment != 0) data_ += '\0';
  tensor_header(tensor.name, {tensor.shape.rbegin(), tensor.shape.rend()}, ggml_number(tensor.type),
                data_.size());
  data_ += tensor_bytes(tensor);
  return *this;
}

std::string GgufWriter::bytes() const {
  std::string file = "GGUF";
  put(file, version);
  put(file, num_tensors_);
  put(file, num_keys_);
  file += keys_ + tensors_;
  while (file.size() % alignment != 0) file += '\0';
  return file + data_;
}

TempFolder::TempFolder() {
  static int counter = 0;
  path_ = std::filesystem::temp_directory_path() /
          fmt::format("skipbench-weights-{}-{}", ::getpid(), counter++);
  std::filesystem::create_directories(path_);
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempFolder::path(const std::string& name) const {
  return name.empty() ? path_.string() : (path_ / name).string();
}

std::string TempFolder::write(const std::string& name, const std::string& bytes) const {
  std::ofstream out(path_ / name, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path(name);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<Tensor> llama_tensors(const TinyShape& s, bool qkv_bias, bool output_bias,
                                  bool mlp_bias, bool qk_norm, bool head, DType type,
                                  const std::string& prefix) {
  std::vector<Tensor> tensors = {{prefix + "embed_tokens.weight", {s.vocab, s.hidden}, type},
                                 {prefix + "norm.weight", {s.hidden}, type}};
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t cols, bool bias) {
    tensors.push_back({name + ".weight", {rows, cols}, type});
    if (bias) tensors.push_back({name + ".bias", {rows}, type});
  };
  for (int i = 0; i < s.layers; ++i) {
    const std::string layer = fmt::format("{}layers.{}.", prefix, i);
    tensors.push_back({layer + "input_layernorm.weight", {s.hidden}, type});
    tensors.push_back({layer + "post_attention_layernorm.weight", {s.hidden}, type});
    matrix(layer + "self_attn.q_proj", s.heads * s.head_dim, s.hidden, qkv_bias);
    matrix(layer + "self_attn.k_proj", s.kv_heads * s.head_dim, s.hidden, qkv_bias);
    matrix(layer + "self_attn.v_proj", s.kv_heads * s.head_dim, s.hidden, qkv_bias);
    matrix(layer + "self_attn.o_proj", s.hidden, s.heads * s.head_dim, output_bias);
    matrix(layer + "mlp.gate_proj", s.intermediate, s.hidden, mlp_bias);
    matrix(layer + "mlp.up_proj", s.intermediate, s.hidden, mlp_bias);
    matrix(layer + "mlp.down_proj", s.hidden, s.intermediate, mlp_bias);
    if (qk_norm) {
      tensors.push_back({layer + "self_attn.q_norm.weight", {s.head_dim}, type});
      tensors.push_back({layer + "self_attn.k_norm.weight", {s.head_dim}, type});
    }
  }
  if (head) tensors.push_back({"lm_head.weight", {s.vocab, s.hidden}, type});
  return tensors;
}

std::vector<Tensor> bloom_tensors(const TinyShape& s, const std::string& prefix, DType type) {
  std::vector<Tensor> tensors;
  const auto pair = [&](const std::string& name, std::vector<int64_t> shape) {
    const int64_t rows = shape.front();
    tensors.push_back({prefix + name + ".weight", std::move(shape), type});
    tensors.push_back({prefix + name + ".bias", {rows}, type});
  };
  tensors.push_back({prefix + "word_embeddings.weight", {s.vocab, s.hidden}, type});
  pair("word_embeddings_layernorm", {s.hidden});
  for (int i = 0; i < s.layers; ++i) {
    const std::string layer = fmt::format("h.{}.", i);
    pair(layer + "input_layernorm", {s.hidden});
    pair(layer + "self_attention.query_key_value", {3 * s.hidden, s.hidden});
    pair(layer + "self_attention.dense", {s.hidden, s.hidden});
    pair(layer + "post_attention_layernorm", {s.hidden});
    pair(layer + "mlp.dense_h_to_4h", {4 * s.hidden, s.hidden});
    pair(layer + "mlp.dense_4h_to_h", {s.hidden, 4 * s.hidden});
  }
  pair("ln_f", {s.hidden});
  return tensors;
}

std::string llama_config(const TinyShape& s, const std::string& model_type,
                         const std::string& extra) {
  return fmt::format(
      "{{{}\"model_type\": \"{}\", \"num_hidden_layers\": {}, \"hidden_size\": {}, "
      "\"num_attention_heads\": {}, \"num_key_value_heads\": {}, \"head_dim\": {}, "
      "\"intermediate_size\": {}, \"vocab_size\": {}}}",
      extra, model_type, s.layers, s.hidden, s.heads, s.kv_heads, s.head_dim, s.intermediate,
      s.vocab);
}

std::string bloom_config(const TinyShape& s, const std::string& extra) {
  return fmt::format(
      "{{{}\"model_type\": \"bloom\", \"n_layer\": {}, \"hidden_size\": {}, \"n_head\": {}, "
      "\"vocab_size\": {}}}",
      extra, s.layers, s.hidden, s.heads, s.vocab);
}

GgufWriter llama_gguf(const TinyShape& s, const std::string& architecture, DType type) {
  GgufWriter writer;
  const std::string a = architecture + ".";
  writer.text("general.architecture", architecture)
      .u32(a + "block_count", s.layers)
      .u32(a + "context_length", 64)
      .u32(a + "embedding_length", s.hidden)
      .u32(a + "feed_forward_length", s.intermediate)
      .u32(a + "attention.head_count", s.heads)
      .u32(a + "attention.head_count_kv", s.kv_heads)
      .u32(a + "attention.key_length", s.head_dim)
      .u32(a + "attention.value_length", s.head_dim)
      .f32(a + "attention.layer_norm_rms_epsilon", 1e-6f)
      .f32(a + "rope.freq_base", 10000.0f)
      .u32("tokenizer.ggml.eos_token_id", 2)
      .u32("tokenizer.ggml.eot_token_id", 5)
      .u32("tokenizer.ggml.bos_token_id", 1);
  writer.tensor({"token_embd.weight", {s.vocab, s.hidden}, type});
  writer.tensor({"output_norm.weight", {s.hidden}});
  for (int i = 0; i < s.layers; ++i) {
    const std::string b = fmt::format("blk.{}.", i);
    writer.tensor({b + "attn_norm.weight", {s.hidden}});
    writer.tensor({b + "attn_q.weight", {s.heads * s.head_dim, s.hidden}, type});
    writer.tensor({b + "attn_k.weight", {s.kv_heads * s.head_dim, s.hidden}, type});
    writer.tensor({b + "attn_v.weight", {s.kv_heads * s.head_dim, s.hidden}, type});
    if (architecture == "qwen2") {
      writer.tensor({b + "attn_q.bias", {s.heads * s.head_dim}});
      writer.tensor({b + "attn_k.bias", {s.kv_heads * s.head_dim}});
      writer.tensor({b + "attn_v.bias", {s.kv_heads * s.head_dim}});
    }
    if (architecture == "qwen3") {
      writer.tensor({b + "attn_q_norm.weight", {s.head_dim}});
      writer.tensor({b + "attn_k_norm.weight", {s.head_dim}});
    }
    writer.tensor({b + "attn_output.weight", {s.hidden, s.heads * s.head_dim}, type});
    writer.tensor({b + "ffn_norm.weight", {s.hidden}});
    writer.tensor({b + "ffn_gate.weight", {s.intermediate, s.hidden}, type});
    writer.tensor({b + "ffn_up.weight", {s.intermediate, s.hidden}, type});
    writer.tensor({b + "ffn_down.weight", {s.hidden, s.intermediate}, type});
  }
  return writer;
}

GgufWriter bloom_gguf(const TinyShape& s) {
  GgufWriter writer;
  writer.text("general.architecture", "bloom")
      .u32("bloom.block_count", s.layers)
      .u32("bloom.context_length", 2048)
      .u32("bloom.embedding_length", s.hidden)
      .u32("bloom.feed_forward_length", 4 * s.hidden)
      .u32("bloom.attention.head_count", s.heads)
      .u32("bloom.attention.head_count_kv", s.heads)
      .f32("bloom.attention.layer_norm_epsilon", 1e-5f);
  const auto pair = [&](const std::string& name, std::vector<int64_t> shape) {
    const int64_t rows = shape.front();
    writer.tensor({name + ".weight", std::move(shape)});
    writer.tensor({name + ".bias", {rows}});
  };
  writer.tensor({"token_embd.weight", {s.vocab, s.hidden}});
  pair("token_embd_norm", {s.hidden});
  pair("output_norm", {s.hidden});
  for (int i = 0; i < s.layers; ++i) {
    const std::string b = fmt::format("blk.{}.", i);
    pair(b + "attn_norm", {s.hidden});
    pair(b + "attn_qkv", {3 * s.hidden, s.hidden});
    pair(b + "attn_output", {s.hidden, s.hidden});
    pair(b + "ffn_norm", {s.hidden});
    pair(b + "ffn_up", {4 * s.hidden, s.hidden});
    pair(b + "ffn_down", {s.hidden, 4 * s.hidden});
  }
  return writer;
}

std::string load_error(const std::string& path) {
  try {
    load_model(path);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << path << " loaded, an Error was expected";
  return "";
}

}  // namespace skipbench::test
