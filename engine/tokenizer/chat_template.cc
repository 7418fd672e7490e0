#include "engine/tokenizer/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/error.h"
#include "engine/tokenizer/utf8.h"

namespace skipbench {
namespace {

using Format = ChatTemplate::Format;

Format llama3(std::string name, std::string system_preamble) {
  return {.name = std::move(name),
          .begin = "{bos}",
          .system_before = "<|start_header_id|>system<|end_header_id|>\n\n" + system_preamble,
          .system_after = "<|eot_id|>",
          .user_before = "<|start_header_id|>user<|end_header_id|>\n\n",
          .user_after = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
          .trim = true,
          .bos = "<|begin_of_text|>"};
}

// Llama 3.1 to 3.3 always write a system message with two dates. Templates that ask for today's
// date name this one as their fallback; prompts have to be the same every day.
Format llama31() {
  Format format =
      llama3("llama3.1", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
  format.default_system = "";
  return format;
}

Format chatml() {
  return {.name = "chatml",
          .system_before = "<|im_start|>system\n",
          .system_after = "<|im_end|>\n",
          .user_before = "<|im_start|>user\n",
          .user_after = "<|im_end|>\n<|im_start|>assistant\n"};
}

// SmolLM2-Instruct's: ChatML that is never without a system message.
Format smollm2() {
  Format format = chatml();
  format.name = "smollm2";
  format.default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
  return format;
}

Format llama2() {
  return {.name = "llama2",
          .begin = "{bos}[INST] ",
          .system_before = "<<SYS>>\n",
          .system_after = "\n<</SYS>>\n\n",
          .user_after = " [/INST]",
          .trim = true,
          .system_in_user = true,
          .bos = "<s>"};
}

// Mistral's first template refuses a system message; its later ones put it before the user's text.
Format mistral(std::string name, std::string before, std::string after) {
  return {.name = std::move(name),
          .begin = "{bos}" + before,
          .system_after = "\n\n",
          .user_after = std::move(after),
          .system_in_user = true,
          .bos = "<s>"};
}

Format zephyr() {
  return {.name = "zephyr",
          .system_before = "<|system|>\n",
          .system_after = "{eos}\n",
          .user_before = "<|user|>\n",
          .user_after = "{eos}\n<|assistant|>\n",
          .eos = "</s>"};
}

// Gemma 2 refuses a system message; Gemma 3 puts it before the user's text.
Format gemma() {
  return {.name = "gemma",
          .begin = "{bos}<start_of_turn>user\n",
          .system_after = "\n\n",
          .user_after = "<end_of_turn>\n<start_of_turn>model\n",
          .trim = true,
          .system_in_user = true,
          .bos = "<bos>"};
}

const std::vector<Format>& formats() {
  static const std::vector<Format> table{chatml(),
                                         smollm2(),
                                         llama2(),
                                         llama3("llama3", ""),
                                         llama31(),
                                         mistral("mistral", "[INST] ", " [/INST]"),
                                         mistral("mistral-v3", "[INST] ", "[/INST]"),
                                         mistral("mistral-tekken", "[INST]", "[/INST]"),
                                         zephyr(),
                                         gemma()};
  return table;
}

std::string fill(std::string text, const Format& format) {
  const auto put = [&text](std::string_view mark, const std::string& token) {
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += token.size()) {
      text.replace(at, mark.size(), token);
    }
  };
  put("{bos}", format.bos);
  put("{eos}", format.eos);
  return text;
}

// Python's str.strip(), which Jinja's trim is, drops four control characters besides White_Space.
bool is_stripped(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

size_t leading_blanks(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Character c = first_character(text.substr(at));
    if (c.bytes == 0 || !is_stripped(c.code_point)) break;
    at += c.bytes;
  }
  return at;
}

// `text` without its trailing blanks, as a number of bytes.
size_t without_trailing_blanks(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
    const Utf8Character c = first_character(text.substr(at, end - at));
    if (c.bytes == 0 || at + c.bytes != end || !is_stripped(c.code_point)) break;
    end = at;
  }
  return end;
}

void trim_begin(std::vector<TextSegment>* segments) {
  while (!segments->empty()) {
    std::string& text = segments->front().text;
    text.erase(0, leading_blanks(text));
    if (!text.empty()) return;
    segments->erase(segments->begin());
  }
}

void trim_end(std::vector<TextSegment>* segments) {
  while (!segments->empty()) {
    std::string& text = segments->back().text;
    text.resize(without_trailing_blanks(text));
    if (!text.empty()) return;
    segments->pop_back();
  }
}

}  // namespace

std::vector<std::string> ChatTemplate::names() {
  std::vector<std::string> names;
  for (const Format& format : formats()) names.push_back(format.name);
  return names;
}

ChatTemplate ChatTemplate::named(std::string_view name) {
  for (const Format& format : formats()) {
    if (format.name == name) return ChatTemplate(format);
  }
  std::vector<std::string> known = names();
  known.emplace_back("model");
  throw unknown_name("chat template", name, known);
}

ChatTemplate ChatTemplate::make(std::string_view name, const std::string& model_path) {
  return name == "model" ? of_model(model_path) : named(name);
}

std::vector<TextSegment> ChatTemplate::render(std::optional<std::string_view> system,
                                              std::span<const TextSegment> user) const {
  if (!system && format_.default_system) system = *format_.default_system;
  using Segments = std::vector<TextSegment>;
  const auto write = [&](const std::string& text, Segments* out) {
    if (!text.empty()) out->push_back({fill(text, format_), true});
  };
  const auto append = [&](Segments message, Segments* out) {
    if (format_.trim) {
      trim_begin(&message);
      trim_end(&message);
    }
    out->insert(out->end(), message.begin(), message.end());
  };
  Segments prompt, message;
  write(format_.begin, &prompt);
  if (system) {
    Segments* out = format_.system_in_user ? &message : &prompt;
    write(format_.system_before, out);
    if (format_.system_in_user) {
      message.push_back({std::string(*system), false});
    } else {
      append({{std::string(*system), false}}, &prompt);
    }
    write(format_.system_after, out);
  }
  write(format_.user_before, &prompt);
  message.insert(message.end(), user.begin(), user.end());
  append(std::move(message), &prompt);
  write(format_.user_after, &prompt);
  return prompt;
}

}  // namespace skipbench
