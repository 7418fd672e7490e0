#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/reference/reference.h"

namespace skipbench::reference {

TokenReference next_token(const std::vector<double>& logits) {
  TokenReference out;
  out.top_logit = logits[0];
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > out.top_logit) {
      out.top_logit = logits[i];
      out.token = static_cast<int32_t>(i);
    }
  }
  out.second_logit = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<int32_t>(i) != out.token) {
      out.second_logit = std::max(out.second_logit, logits[i]);
    }
  }
  double sum = 0;
  for (double x : logits) sum += std::exp(x - out.top_logit);
  for (double x : logits) {
    const double p = std::exp(x - out.top_logit) / sum;
    if (p > 0) out.entropy -= p * std::log(p);
  }
  out.top_probability = 1 / sum;
  out.second_probability = std::exp(out.second_logit - out.top_logit) / sum;
  return out;
}

double log_prob(const std::vector<double>& logits, int64_t target) {
  const double top = *std::max_element(logits.begin(), logits.end());
  long double sum = 0;
  for (double x : logits) sum += std::exp(static_cast<long double>(x - top));
  return static_cast<double>(logits[target] - top - std::log(sum));
}

}  // namespace skipbench::reference
