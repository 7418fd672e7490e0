#include "eval/store/schema.h"

#include <fmt/format.h>

#include <array>
#include <set>

namespace skipbench {
namespace {

constexpr int64_t kApplicationId = 0x736b6970;  // "skip", in the file's header

// Entry i brings version i to i + 1. An entry is never edited once files of its version exist.
constexpr std::array kMigrations = {
    R"sql(
CREATE TABLE runs(
  id INTEGER PRIMARY KEY,
  started TEXT NOT NULL, ended TEXT,      -- UTC, ISO 8601
  state TEXT NOT NULL,                    -- running, done, failed, interrupted
  command TEXT NOT NULL, config TEXT NOT NULL,
  commit_hash TEXT NOT NULL, dirty_hash TEXT NOT NULL, compiler TEXT NOT NULL, flags TEXT NOT NULL,
  device TEXT NOT NULL, device_name TEXT NOT NULL, cpu TEXT NOT NULL, threads INTEGER NOT NULL,
  instruction_set TEXT NOT NULL, load_average REAL NOT NULL,
  model TEXT NOT NULL, model_hash TEXT NOT NULL, num_layers INTEGER NOT NULL,
  peak_read_bytes_per_second REAL, peak_flops_per_second REAL);

CREATE TABLE calibrations(
  id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, run_id INTEGER NOT NULL REFERENCES runs,
  strategy TEXT NOT NULL, target REAL NOT NULL, dataset TEXT NOT NULL, data_hash TEXT NOT NULL,
  threshold REAL NOT NULL, budget REAL NOT NULL, realised_budget REAL NOT NULL,
  on_target INTEGER NOT NULL, passes INTEGER NOT NULL);

-- Prompts and `full`'s own tokens for them, on which thresholds are found.
CREATE TABLE calibration_data(
  identity TEXT PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs, requests TEXT NOT NULL);

-- A round of timing in which strategies take turns; speedups compare within one.
CREATE TABLE timing_groups(
  id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs, dataset TEXT NOT NULL,
  batch INTEGER NOT NULL, mean_context REAL NOT NULL, finished TEXT NOT NULL);

CREATE TABLE cells(
  id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK(kind IN ('quality', 'timing')),
  resolved TEXT NOT NULL,                 -- JSON behind `identity`
  status TEXT NOT NULL CHECK(status IN
    ('pending', 'done', 'failed', 'oom', 'interrupted', 'invalid', 'unsupported')),
  message TEXT NOT NULL DEFAULT '',
  run_id INTEGER REFERENCES runs,         -- the run that gave it its status
  group_id INTEGER REFERENCES timing_groups,  -- timing: the last group that measured it
  calibration_id INTEGER REFERENCES calibrations,
  longest_skipped_run INTEGER,            -- null: depends on the input
  bound REAL);                            -- timing: upper bound of the speedup

-- What a run's configuration asked for, in the order of its table.
CREATE TABLE run_cells(
  run_id INTEGER NOT NULL REFERENCES runs, ordinal INTEGER NOT NULL,
  cell_id INTEGER NOT NULL REFERENCES cells,
  strategy TEXT NOT NULL, target REAL NOT NULL, dataset TEXT NOT NULL, batch INTEGER NOT NULL,
  PRIMARY KEY(run_id, ordinal)) WITHOUT ROWID;

CREATE TABLE outputs(
  cell_id INTEGER NOT NULL REFERENCES cells, idx INTEGER NOT NULL, batch_index INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, tokens TEXT NOT NULL, text TEXT NOT NULL,
  reference TEXT NOT NULL, layers TEXT NOT NULL,   -- JSON arrays
  PRIMARY KEY(cell_id, idx)) WITHOUT ROWID;

-- One row per batch that was decoded: raw times. group_id 0: a quality cell.
CREATE TABLE samples(
  cell_id INTEGER NOT NULL REFERENCES cells, group_id INTEGER NOT NULL,
  repetition INTEGER NOT NULL, batch_index INTEGER NOT NULL,
  rows INTEGER NOT NULL, prefill_us REAL NOT NULL, decode_us REAL NOT NULL,
  prompt_tokens INTEGER NOT NULL, decode_tokens INTEGER NOT NULL,
  exit_tests INTEGER NOT NULL, exit_test_us REAL NOT NULL, kv_cache_bytes INTEGER NOT NULL,
  step_us TEXT NOT NULL,
  PRIMARY KEY(cell_id, group_id, repetition, batch_index)) WITHOUT ROWID;

CREATE TABLE scores(
  cell_id INTEGER NOT NULL REFERENCES cells, signature TEXT NOT NULL, name TEXT NOT NULL,
  ordinal INTEGER NOT NULL, score REAL NOT NULL, precision REAL, recall REAL,
  PRIMARY KEY(cell_id, signature, name)) WITHOUT ROWID;
)sql",
    R"sql(
-- What was found: `threshold`, or another parameter with its value as text (threshold is then 0).
ALTER TABLE calibrations ADD COLUMN parameter TEXT NOT NULL DEFAULT 'threshold';
ALTER TABLE calibrations ADD COLUMN value TEXT NOT NULL DEFAULT '';

-- Scores by which layers are removed, measured on calibration data.
CREATE TABLE layer_scores(
  identity TEXT PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs,
  score TEXT NOT NULL, dataset TEXT NOT NULL, data_hash TEXT NOT NULL,
  scores TEXT NOT NULL);                  -- JSON as `skipbench probe` prints it under "scores"
)sql",
    // Scores belong to a run's cell: what its configuration asked for, in that order. A run may
    // have several models, devices and types (its matrix).
    R"sql(
ALTER TABLE run_cells ADD COLUMN variant TEXT NOT NULL DEFAULT '';

CREATE TABLE run_scores(
  run_id INTEGER NOT NULL REFERENCES runs, ordinal INTEGER NOT NULL,  -- of run_cells
  position INTEGER NOT NULL, signature TEXT NOT NULL,
  PRIMARY KEY(run_id, ordinal, position)) WITHOUT ROWID;

-- Older runs did not note what they asked for: all that their cells have.
INSERT INTO run_scores(run_id, ordinal, position, signature)
  SELECT r.run_id, r.ordinal, min(s.ordinal), s.signature
  FROM run_cells r JOIN scores s ON s.cell_id = r.cell_id GROUP BY r.run_id, r.ordinal, s.signature;

CREATE TABLE run_variants(
  run_id INTEGER NOT NULL REFERENCES runs, position INTEGER NOT NULL, variant TEXT NOT NULL,
  model TEXT NOT NULL, model_hash TEXT NOT NULL, num_layers INTEGER NOT NULL,
  dtype TEXT NOT NULL, device TEXT NOT NULL, device_name TEXT NOT NULL,
  PRIMARY KEY(run_id, position)) WITHOUT ROWID;
)sql",
    R"sql(
-- Tokens drafted and accepted and the whole model's checks, summed over the batch's rows.
ALTER TABLE samples ADD COLUMN drafted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN verify_calls INTEGER NOT NULL DEFAULT 0;
)sql",
    R"sql(
-- Sums over the tokens of a reference, teacher-forced. prefix: what was put before the references.
CREATE TABLE response_scores(
  cell_id INTEGER NOT NULL REFERENCES cells, prefix TEXT NOT NULL, idx INTEGER NOT NULL,
  tokens INTEGER NOT NULL, nll REAL NOT NULL, kl REAL NOT NULL, agreeing INTEGER NOT NULL,
  PRIMARY KEY(cell_id, prefix, idx)) WITHOUT ROWID;

-- Sums over `tokens` decoding steps of the cosine and the ratio of norms of the hidden state after
-- each layer with that of the full model: {"cosine": [N], "norm_ratio": [N]}.
CREATE TABLE layer_drift(
  cell_id INTEGER NOT NULL REFERENCES cells, prefix TEXT NOT NULL,
  tokens INTEGER NOT NULL, sums TEXT NOT NULL,
  PRIMARY KEY(cell_id, prefix)) WITHOUT ROWID;
)sql",
    R"sql(
-- Sums over the texts that have a step, beside those of response_scores over the steps of a text.
-- step: t of decoding step t; -1: the prefill, at the prompts' last tokens; -2: all decoding steps
-- together, as an older version summed them up (the rest is then null).
CREATE TABLE step_drift(
  cell_id INTEGER NOT NULL REFERENCES cells, prefix TEXT NOT NULL, step INTEGER NOT NULL,
  texts INTEGER NOT NULL, layers REAL, kl REAL, agreeing INTEGER,
  PRIMARY KEY(cell_id, prefix, step)) WITHOUT ROWID;

-- Sums over the same texts of the cosine and the ratio of norms of the hidden state after each
-- layer with that of the full model.
ALTER TABLE layer_drift RENAME TO old_drift;
CREATE TABLE layer_drift(
  cell_id INTEGER NOT NULL REFERENCES cells, prefix TEXT NOT NULL, step INTEGER NOT NULL,
  layer INTEGER NOT NULL, cosine REAL NOT NULL, norm_ratio REAL NOT NULL,
  PRIMARY KEY(cell_id, prefix, step, layer)) WITHOUT ROWID;
DELETE FROM old_drift WHERE tokens = 0 OR NOT json_valid(sums);
INSERT INTO step_drift(cell_id, prefix, step, texts)
  SELECT cell_id, prefix, -2, tokens FROM old_drift;
INSERT INTO layer_drift(cell_id, prefix, step, layer, cosine, norm_ratio)
  SELECT d.cell_id, d.prefix, -2, c.key, c.value, n.value
  FROM old_drift d, json_each(d.sums, '$.cosine') c, json_each(d.sums, '$.norm_ratio') n
  WHERE n.key = c.key AND c.value IS NOT NULL AND n.value IS NOT NULL;
DROP TABLE old_drift;

-- What `skipbench probe` printed, as JSON. identity: of model, texts and settings.
CREATE TABLE probes(
  identity TEXT PRIMARY KEY, probed TEXT NOT NULL, command TEXT NOT NULL,
  commit_hash TEXT NOT NULL, device_name TEXT NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;
)sql",
    R"sql(
-- The weights that a cell ran on: the adapter's folder (empty: none) and the types of matrices,
-- "f16" or "q4_1 210 tensors, q8_0 1". Null: an older version did not note it.
ALTER TABLE run_cells ADD COLUMN adapter TEXT;
ALTER TABLE run_cells ADD COLUMN weights TEXT;
-- The types of the model without adapter.
ALTER TABLE run_variants ADD COLUMN weights TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
-- What a timed batch took beside its time. Null: the machine does not say, or an older version
-- measured. Energy is that of the whole card, or of the CPU's packages; the peak is what the device
-- held at once, or the process had in RAM; clock_reasons are bits of NVML's clocks event reasons,
-- at the batch's beginning or end; the clocks, temperature and power are those of its end.
ALTER TABLE samples ADD COLUMN energy_joules REAL;
ALTER TABLE samples ADD COLUMN peak_memory_bytes INTEGER;
ALTER TABLE samples ADD COLUMN sm_clock_mhz INTEGER;
ALTER TABLE samples ADD COLUMN memory_clock_mhz INTEGER;
ALTER TABLE samples ADD COLUMN temperature_c INTEGER;
ALTER TABLE samples ADD COLUMN power_watts REAL;
ALTER TABLE samples ADD COLUMN clock_reasons INTEGER;
-- Of a timed cell: the model's weights, and those of them that no pass of its strategy reads.
ALTER TABLE cells ADD COLUMN weight_bytes INTEGER;
ALTER TABLE cells ADD COLUMN unread_weight_bytes INTEGER;
-- The driver's version; empty: no driver, or an older version did not note it.
ALTER TABLE runs ADD COLUMN driver TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
-- Metrics that other programs computed of stored outputs.
CREATE TABLE external_metrics(
  signature TEXT PRIMARY KEY, name TEXT NOT NULL, program_signature TEXT NOT NULL,
  higher_is_better INTEGER NOT NULL, n_references INTEGER NOT NULL,
  with_sources INTEGER NOT NULL,
  command TEXT NOT NULL                   -- empty: it computes another metric since
) WITHOUT ROWID;
CREATE TABLE external_scores(
  cell_id INTEGER NOT NULL REFERENCES cells, signature TEXT NOT NULL, idx INTEGER NOT NULL,
  score REAL NOT NULL, PRIMARY KEY(cell_id, signature, idx)) WITHOUT ROWID;
)sql",
    R"sql(
-- Of a run on a card: its UUID, the power limit that was enforced when it began, and the versions
-- of CUDA's runtime and cuBLASLt. Empty or null: no card, not known, or an older version's run.
ALTER TABLE runs ADD COLUMN gpu_uuid TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN power_limit_watts REAL;
ALTER TABLE runs ADD COLUMN cuda_runtime TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN cublaslt TEXT NOT NULL DEFAULT '';
-- Other processes that computed on the card before or after a timed batch, the most of both
-- moments, and what they held of its memory. Null: not known, or not measured.
ALTER TABLE samples ADD COLUMN foreign_processes INTEGER;
ALTER TABLE samples ADD COLUMN foreign_memory_bytes INTEGER;
)sql",
};

int64_t pragma(Database& database, const std::string& name) {
  Statement statement(database, "PRAGMA " + name);
  return statement.step() ? statement.integer(0) : 0;
}

bool is_empty(Database& database) {
  Statement statement(database, "SELECT count(*) FROM sqlite_master");
  statement.step();
  return statement.integer(0) == 0;
}

void apply_migrations(Database& database, int64_t version, int64_t target) {
  while (version < target) {
    Transaction transaction(database);
    database.execute(kMigrations.at(version));
    ++version;
    database.execute(fmt::format("PRAGMA application_id = {}", kApplicationId));
    database.execute(fmt::format("PRAGMA user_version = {}", version));
    transaction.commit();
  }
}

std::set<std::string> texts(Statement& rows) {
  std::set<std::string> found;
  while (rows.step()) found.insert(rows.text(0));
  return found;
}

// "TABLE.COLUMN" of the tables called `names`.
std::set<std::string> columns_of(Database& database, const std::set<std::string>& names) {
  std::set<std::string> columns;
  for (const std::string& name : names) {
    Statement rows(database, "SELECT ?1 || '.' || name FROM pragma_table_info(?1)");
    columns.merge(texts(rows.bind(name)));
  }
  return columns;
}

// The file has the columns of its version and none that a later version brings.
void check_tables(Database& database, int64_t version) {
  Database made = Database::in_memory(database.path());
  const auto tables = [&] {
    Statement rows(made, "SELECT name FROM sqlite_master WHERE type = 'table'");
    return texts(rows);
  };
  apply_migrations(made, 0, version);
  const std::set<std::string> wanted = columns_of(made, tables());
  apply_migrations(made, version, current_version());
  std::set<std::string> known = columns_of(made, tables());
  known.insert(wanted.begin(), wanted.end());
  const std::set<std::string> found = columns_of(database, tables());
  for (const std::string& column : known) {
    if (wanted.contains(column) == found.contains(column)) continue;
    throw StoreError(
        {.what = "a damaged results file: its tables are not those of its version",
         .where = database.path(),
         .expected = fmt::format("results version {}", version),
         .got = (wanted.contains(column) ? "no column " : "a later version's column ") + column,
         .hint = "restore a copy, or write results to another file"});
  }
}

// The file's version, 0 for an empty one.
int64_t checked_version(Database& database) {
  const int64_t version = pragma(database, "user_version");
  const int64_t application = pragma(database, "application_id");
  const bool empty = is_empty(database);
  if (application != kApplicationId && (application != 0 || !empty)) {
    throw StoreError({.what = "a database of another program",
                      .where = database.path(),
                      .expected = "a results file that `skipbench run` wrote",
                      .hint = "name another file"});
  }
  if (empty) return 0;
  if (version > static_cast<int64_t>(kMigrations.size())) {
    throw StoreError({.what = "written by a newer skipbench",
                      .where = database.path(),
                      .expected = fmt::format("results version {} or older", kMigrations.size()),
                      .got = fmt::format("version {}", version),
                      .hint = "update skipbench, or write results to another file"});
  }
  if (version < 1) {
    throw StoreError({.what = "a damaged results file: no skipbench wrote its version",
                      .where = database.path(),
                      .expected = fmt::format("results version 1 to {}", kMigrations.size()),
                      .got = fmt::format("version {}", version),
                      .hint = "restore a copy, or write results to another file"});
  }
  check_tables(database, version);
  return version;
}

}  // namespace

void migrate_to(Database& database, int64_t target) {
  apply_migrations(database, checked_version(database), target);
}

void check_is_ours(Database& database) { checked_version(database); }

void migrate(Database& database) { migrate_to(database, current_version()); }

int64_t current_version() { return static_cast<int64_t>(kMigrations.size()); }

bool is_current(Database& database) {
  const int64_t version = checked_version(database);
  if (version > 0) return version == current_version();
  throw StoreError({.what = "an empty results file",
                    .where = database.path(),
                    .hint = "`skipbench run CONFIG` fills it"});
}

}  // namespace skipbench
