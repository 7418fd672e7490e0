#include "engine/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <utility>

#include "engine/base/error.h"

namespace skipbench {
namespace {

// Backtracking inside one match is bounded by the longest run of one class (a line of blanks), for
// which the default 32 KiB of stack are too few.
constexpr size_t kJitStackBytes = 64 * 1024;
constexpr size_t kJitStackMaxBytes = 64 * 1024 * 1024;
// Of one match: a run of as many characters of one class, or a second of one that doubles its work
// with each character.
constexpr uint32_t kMatchLimit = 100'000'000;
constexpr uint32_t kHeapLimitKib = 1 << 20;  // where there is no JIT compiler

template <auto free_function>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Free<pcre2_compile_context_free>>;

std::string pcre_message(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

bool is_too_much_work(int code) {
  return code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_HEAPLIMIT ||
         code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_JIT_STACKLIMIT;
}

// What a match needs beside the pattern; one per thread, since a line is split into many pieces.
struct MatchScratch {
  MatchData data{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(kJitStackBytes, kJitStackMaxBytes, nullptr)};

  MatchScratch() {
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  }
};

}  // namespace

struct Regex::Compiled {
  Code code;
  std::string where;
};

Regex::Regex(std::string_view pcre_pattern, uint32_t options, std::string where)
    : compiled_(std::make_unique<Compiled>()) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre_pattern.data()), pcre_pattern.size(),
                          options, &error, &offset, context.get()));
  if (!code) {
    throw Error({.what = fmt::format("bad regular expression '{}'", pcre_pattern),
                 .where = std::move(where),
                 .got = fmt::format("{} at byte {}", pcre_message(error), offset)});
  }
  // Without a JIT compiler for this machine the interpreter does the same, only slower.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  compiled_->code = std::move(code);
  compiled_->where = std::move(where);
}

// Oniguruma's ^ and $ hold at every line (Ruby syntax).
Regex::Regex(std::string_view pattern, std::string where)
    : Regex(translate_oniguruma(pattern, where), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, where) {}

Regex Regex::literal(std::string_view text, std::string where) {
  return Regex(text, PCRE2_UTF | PCRE2_LITERAL, std::move(where));
}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

void Regex::for_each_match(std::string_view text,
                           const std::function<void(size_t, size_t)>& match) const {
  thread_local const MatchScratch scratch;
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(scratch.data.get());
  for (size_t at = 0; at < text.size();) {
    const int found = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                  scratch.data.get(), scratch.context.get());
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {
      throw Error({.what = fmt::format("regular expression failed on {} bytes", text.size()),
                   .where = compiled_->where,
                   .got = pcre_message(found),
                   .hint = is_too_much_work(found)
                               ? "the pattern tries too many ways to match one place: a repeat "
                                 "within a repeat, as in (a+)+, does"
                               : ""});
    }
    at = span[1];
    match(span[0], span[1]);
  }
}

}  // namespace skipbench
