// A decoder-only transformer described by data: no class per family. A new family touches the
// config reader (engine/weights/hf_config.cc, gguf_config.cc) and a name map.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace skipbench {

enum class NormKind { kLayerNorm, kRmsNorm };
enum class PositionKind { kAlibi, kRope };
enum class MlpKind { kPlain, kGated };  // down(act(up x)) or down(act(gate x) * up x)
enum class Activation { kSilu, kGeluTanh, kGeluErf };

// Where query, key and value of a head stand in a row of the fused projection's output.
//   kSeparate:   [q of all heads | k of all kv heads | v of all kv heads]
//   kPerHead:    for each head [q | k | v]  (BLOOM; num_kv_heads == num_heads)
enum class QkvLayout { kSeparate, kPerHead };

struct RopeConfig {
  // Angle of pair i at position p is p * inverse_frequencies[i]; size rotary_dim / 2. The scaling
  // type (linear, llama3, yarn) is already applied, so the model need not know it.
  std::vector<double> inverse_frequencies;
  double attention_factor = 1.0;  // multiplies cos and sin (yarn); 1 for the others
  bool interleaved = false;       // pairs (2i, 2i+1) as in GGUF's llama files, else (i, i + d/2)
};

struct ModelConfig {
  std::string family;  // "bloom", "llama", "mistral", "qwen2", "qwen3"
  int num_layers = 0;
  int hidden_size = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;  // its own value: Qwen3's is not hidden_size / num_heads
  int intermediate_size = 0;
  int vocab_size = 0;
  int max_positions = 0;  // 0: not limited (ALiBi)

  NormKind norm = NormKind::kRmsNorm;
  double norm_epsilon = 1e-5;
  PositionKind position = PositionKind::kRope;
  RopeConfig rope;
  MlpKind mlp = MlpKind::kGated;
  Activation activation = Activation::kSilu;
  QkvLayout qkv_layout = QkvLayout::kSeparate;
  bool qk_norm = false;               // RMSNorm over head_dim on q and k before RoPE (Qwen3)
  bool embedding_norm = false;        // LayerNorm after the embedding (BLOOM)
  bool residual_after_norm = false;   // apply_residual_connection_post_layernorm (BLOOM)
  bool tied_head = false;             // the head is the embedding matrix
  double attention_scale = 0.0;       // 1 / sqrt(head_dim) unless the file says otherwise
  std::vector<int> attention_window;  // [num_layers]; 0: every earlier position is seen

  // Ids that end a text, from generation_config.json, config.json or the GGUF's metadata.
  std::vector<int32_t> end_of_text_ids;
  int32_t begin_of_text_id = -1;  // -1: none

  int qkv_rows() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
};

}  // namespace skipbench
