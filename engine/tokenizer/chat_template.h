// Chat templates for one question: an optional system message and a user's message, up to where the
// model answers. Templates are data, not Jinja; a model's own Jinja template is recognised among
// the known ones or refused.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace skipbench {

class ChatTemplate {
 public:
  // Pieces around the messages, special tokens written out.
  struct Format {
    std::string name;
    std::string begin;
    std::string system_before;
    std::string system_after;
    std::string user_before;
    std::string user_after;                     // with the opening of the answer
    std::optional<std::string> default_system;  // where none is given; "" still makes a message
    bool trim = false;                          // white space at both ends of a message is dropped
    bool system_in_user = false;                // a system message is the beginning of the user's
    std::string bos = "";                       // how "{bos}" and "{eos}" above are written
    std::string eos = "";
  };

  // "chatml", "llama2", ...: see names(). Throws Error naming the known ones.
  static ChatTemplate named(std::string_view name);
  static std::vector<std::string> names();

  // The template of a model: GGUF (tokenizer.chat_template), or folder (chat_template.jinja or
  // tokenizer_config.json, else its one GGUF). Throws Error where it has none or an unknown one.
  static ChatTemplate of_model(const std::string& model_path);

  // A name, or "model" for of_model(model_path).
  static ChatTemplate make(std::string_view name, const std::string& model_path);

  // The known template that renders as the Jinja text `jinja` does. `bos` and `eos` are the model's
  // own texts of these tokens; empty means the usual ones. Throws Error naming `where`.
  static ChatTemplate recognise(std::string_view jinja, const std::string& bos,
                                const std::string& eos, const std::string& where);

  const std::string& name() const { return format_.name; }

  // The prompt. What belongs to the template is template text (BOS included where the template
  // writes it, so encode without add_special), the system message is data, and the user's segments
  // stay what they are.
  std::vector<TextSegment> render(std::optional<std::string_view> system,
                                  std::span<const TextSegment> user) const;

 private:
  explicit ChatTemplate(Format format) : format_(std::move(format)) {}

  Format format_;
};

}  // namespace skipbench
