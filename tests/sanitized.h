// Under sanitizers a test takes five to twenty times as long. Those that go through large
// reference data or simulate histories take a part of it there and all of it in the other builds.
#pragma once

namespace skipbench {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// One in so many: a prime, so that data in which options alternate give some of each.
inline constexpr int kSanitizedPart = 11;

// Whether the comparison with number `index`, from 0, is made in this build.
constexpr bool is_compared(int index) { return !kSanitized || index % kSanitizedPart == 0; }

}  // namespace skipbench
