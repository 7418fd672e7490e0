#include "eval/report/cell_times.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "eval/report/speed_interval.h"
#include "eval/store/stored_json.h"

namespace skipbench {
namespace {

double middle_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

void add_percentiles(TableRow& row, std::vector<double> step_us) {
  if (step_us.empty()) return;
  std::sort(step_us.begin(), step_us.end());
  const auto percentile_ms = [&](double percent) {  // nearest rank
    const double rank = std::ceil(percent * static_cast<double>(step_us.size()) / 100);
    return step_us[static_cast<size_t>(std::max(rank, 1.0)) - 1] / 1e3;
  };
  row.step_p50_ms = percentile_ms(50);
  row.step_p90_ms = percentile_ms(90);
  row.step_p95_ms = percentile_ms(95);
  row.step_p99_ms = percentile_ms(99);
}

// Nothing where a repetition has no speed (no token was decoded, or in no time at all).
std::optional<RatioInterval> known_interval(const std::vector<double>& speeds,
                                            const std::vector<double>& reference) {
  const auto is_speed = [](double speed) { return speed > 0 && std::isfinite(speed); };
  if (speeds.size() != reference.size() || !std::ranges::all_of(speeds, is_speed) ||
      !std::ranges::all_of(reference, is_speed)) {
    return std::nullopt;
  }
  return ratio_interval(speeds, reference);
}

}  // namespace

std::optional<Speeds> speeds_of(Database& database, int64_t cell, int64_t group) {
  Statement statement(database,
                      "SELECT sum(prefill_us), sum(decode_us), sum(prompt_tokens),"
                      " sum(decode_tokens), sum(rows) FROM samples"
                      " WHERE cell_id = ? AND group_id = ? GROUP BY repetition"
                      " ORDER BY repetition");
  statement.bind(cell, group);
  std::vector<double> total, decode;
  while (statement.step()) {
    const double prefill_us = statement.real(0), decode_us = statement.real(1);
    const double decode_tokens = statement.real(3);
    // Each row's first token is the prefill's.
    const double all_tokens = statement.real(2) + decode_tokens + statement.real(4);
    total.push_back(1e6 * all_tokens / (prefill_us + decode_us));
    decode.push_back(1e6 * decode_tokens / decode_us);
  }
  if (total.empty()) return std::nullopt;
  const auto [low, high] = std::minmax_element(decode.begin(), decode.end());
  const double middle = middle_of(decode);
  Speeds speeds{middle_of(total), middle, std::nullopt, total, decode};
  if (decode.size() > 1) speeds.spread = (*high - *low) / middle;
  return speeds;
}

void add_speed_intervals(const Speeds& speeds, const Speeds& full, TableRow& row) {
  if (const auto found = known_interval(speeds.decode_of_each, full.decode_of_each)) {
    row.paired_speedup = found->mean;
    row.speedup_low = found->low;
    row.speedup_high = found->high;
  }
  if (const auto found = known_interval(speeds.total_of_each, full.total_of_each)) {
    row.paired_total_speedup = found->mean;
    row.total_speedup_low = found->low;
    row.total_speedup_high = found->high;
  }
}

void add_timed_batches(Database& database, int64_t cell, int64_t group, TableRow& row) {
  Statement statement(database,
                      "SELECT prefill_us, kv_cache_bytes, step_us, decode_us, exit_tests,"
                      " exit_test_us FROM samples WHERE cell_id = ? AND group_id = ?");
  statement.bind(cell, group);
  std::vector<double> prefill_ms, step_us;
  double cache_bytes = 0, decode_us = 0, exit_test_us = 0;
  int64_t exit_tests = 0;
  while (statement.step()) {
    prefill_ms.push_back(statement.real(0) / 1e3);
    cache_bytes = std::max(cache_bytes, statement.real(1));
    const auto steps = stored_value<std::vector<double>>(database, statement.text(2));
    step_us.insert(step_us.end(), steps.begin(), steps.end());
    decode_us += statement.real(3);
    exit_tests += statement.integer(4);
    exit_test_us += statement.real(5);
  }
  if (prefill_ms.empty()) return;
  row.first_token_ms = middle_of(std::move(prefill_ms));
  row.cache_mib = cache_bytes / (1 << 20);
  if (exit_tests > 0 && decode_us > 0) row.exit_test_share = exit_test_us / decode_us;
  add_percentiles(row, std::move(step_us));
}

std::optional<double> needed_mib(Database& database, int64_t cell, int64_t group) {
  Statement statement(database,
                      "SELECT c.weight_bytes - c.unread_weight_bytes + max(s.kv_cache_bytes)"
                      " FROM cells c JOIN samples s ON s.cell_id = c.id"
                      " WHERE c.id = ? AND s.group_id = ?");
  if (!statement.bind(cell, group).step() || statement.is_null(0)) return std::nullopt;
  return statement.real(0) / (1 << 20);
}

void add_batch_use(Database& database, int64_t cell, int64_t group, TableRow& row) {
  row.needed_mib = needed_mib(database, cell, group);
  // Energy counts where each batch has it: a sum over some of them would be of all tokens.
  Statement sums(database,
                 "SELECT iif(count(energy_joules) = count(*), sum(energy_joules), NULL),"
                 " sum(rows + decode_tokens), max(peak_memory_bytes), avg(sm_clock_mhz),"
                 " avg(memory_clock_mhz), max(temperature_c), avg(power_watts),"
                 " max(foreign_processes), max(foreign_memory_bytes) FROM samples"
                 " WHERE cell_id = ? AND group_id = ?");
  if (!sums.bind(cell, group).step()) return;
  const auto value = [&](int column) -> std::optional<double> {
    if (sums.is_null(column)) return std::nullopt;
    return sums.real(column);
  };
  // A counter that did not move within all batches is too slow for them.
  if (sums.real(0) > 0 && sums.real(1) > 0) row.joules_per_token = sums.real(0) / sums.real(1);
  if (const auto peak = value(2)) row.peak_memory_mib = *peak / (1 << 20);
  row.sm_clock_mhz = value(3);
  row.memory_clock_mhz = value(4);
  row.temperature_c = value(5);
  row.power_watts = value(6);
  if (!sums.is_null(7)) row.foreign_processes = sums.integer(7);
  if (!sums.is_null(8)) row.foreign_memory_bytes = sums.integer(8);
  Statement reasons(database,
                    "SELECT DISTINCT clock_reasons FROM samples WHERE cell_id = ? AND group_id = ?"
                    " AND clock_reasons IS NOT NULL");
  reasons.bind(cell, group);
  while (reasons.step()) row.clock_reasons = row.clock_reasons.value_or(0) | reasons.integer(0);
}

void add_natural_speed(Database& database, int64_t cell, TableRow& row) {
  Statement statement(database,
                      "SELECT sum(decode_tokens), sum(decode_us), max(rows) FROM samples"
                      " WHERE cell_id = ? AND group_id = 0");
  if (!statement.bind(cell).step() || statement.real(1) <= 0) return;
  row.natural_decode_per_second = 1e6 * statement.real(0) / statement.real(1);
  row.natural_batch = statement.real(2);
}

}  // namespace skipbench
