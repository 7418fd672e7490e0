#include "engine/tokenizer/chat_template.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"
#include "tests/tokenizer/fixtures.h"

namespace skipbench {
namespace {

std::string joined(const std::vector<TextSegment>& segments) {
  std::string text;
  for (const TextSegment& segment : segments) text += segment.text;
  return text;
}

std::vector<TextSegment> render(const ChatTemplate& chat, const char* system,
                                const std::string& user) {
  const TextSegment segment{user, false};
  return chat.render(system ? std::optional<std::string_view>(system) : std::nullopt,
                     std::span(&segment, 1));
}

TEST(ChatTemplate, RecognisedTemplatesRenderAsJinjaDoes) {
  int cases = 0;
  for (const nlohmann::json& reference : expected()["chat"]) {
    const std::string source = reference["template"];
    const ChatTemplate chat = ChatTemplate::recognise(source, "<bos>", "<eos>", "test");
    const nlohmann::json& system = reference["system"];
    const std::string text = system.is_null() ? "" : system.get<std::string>();
    const auto prompt = render(chat, system.is_null() ? nullptr : text.c_str(), reference["user"]);
    EXPECT_EQ(joined(prompt), reference["text"].get<std::string>())
        << reference["kind"] << " recognised as " << chat.name();
    ++cases;
  }
  EXPECT_GT(cases, 40);
}

TEST(ChatTemplate, ByName) {
  EXPECT_EQ(joined(render(ChatTemplate::named("chatml"), nullptr, "Hi")),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(joined(render(ChatTemplate::named("smollm2"), nullptr, "Hi")),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
            "Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(joined(render(ChatTemplate::named("llama2"), "S", " Hi ")),
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n Hi [/INST]");
  EXPECT_EQ(joined(render(ChatTemplate::named("llama3"), " S ", "Hi\n")),
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_EQ(joined(render(ChatTemplate::named("mistral"), nullptr, "Hi")), "<s>[INST] Hi [/INST]");
  EXPECT_EQ(joined(render(ChatTemplate::named("mistral-v3"), "S", "Hi")),
            "<s>[INST] S\n\nHi[/INST]");
  EXPECT_EQ(joined(render(ChatTemplate::named("zephyr"), "S", "Hi")),
            "<|system|>\nS</s>\n<|user|>\nHi</s>\n<|assistant|>\n");
  for (const std::string& name : ChatTemplate::names()) {
    EXPECT_EQ(ChatTemplate::make(name, "").name(), name);
  }
  try {
    ChatTemplate::named("lama3");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("nearest first): llama3"), std::string::npos)
        << error.what();
  }
}

TEST(ChatTemplate, UserSegmentsStayWhatTheyAre) {
  const std::vector<TextSegment> user{
      {" \n", true}, {"  Translate: ", true}, {"<|eot_id|> \t", false}, {" ", true}};
  const auto prompt = ChatTemplate::named("llama3").render("sys <|eot_id|>", user);
  std::string data;
  for (const TextSegment& segment : prompt) {
    if (!segment.is_template) data += "[" + segment.text + "]";
  }
  EXPECT_EQ(data, "[sys <|eot_id|>][<|eot_id|>]");
  EXPECT_NE(joined(prompt).find("\n\nTranslate: <|eot_id|><|eot_id|>"), std::string::npos);
}

TEST(ChatTemplate, OfAModel) {
  for (const char* model : {"smollm", "smollm.gguf", "smollm/tokenizer.json"}) {
    const ChatTemplate chat = ChatTemplate::make("model", tokenizer_fixture(model));
    EXPECT_EQ(joined(render(chat, nullptr, "Hi")),
              joined(render(ChatTemplate::named("smollm2"), nullptr, "Hi")))
        << model;
  }
  for (const char* model : {"gpt2", "gpt2.gguf"}) {
    try {
      ChatTemplate::of_model(tokenizer_fixture(model));
      FAIL() << model;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("no chat template"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("chatml"), std::string::npos);
    }
  }
}

// Each of these differs from a known template in what one question looks like.
TEST(ChatTemplate, RefusesTemplatesThatRenderOtherwise) {
  const std::string chatml =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
      "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
      "{{ '<|im_start|>assistant\n' }}{% endif %}";
  EXPECT_EQ(ChatTemplate::recognise(chatml, "", "", "test").name(), "chatml");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = chatml;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  for (const std::string& other :
       {changed("assistant\n", "assistant\n<think>\n"), changed("{% for", "{{ bos_token }}{% for"),
        changed("message['content']", "message['content'] | trim"),
        changed("|im_start|", "|start|"), std::string("{{ messages[0].content }}"),
        std::string()}) {
    EXPECT_THROW(ChatTemplate::recognise(other, "", "", "test"), Error) << other;
  }
}

}  // namespace
}  // namespace skipbench
