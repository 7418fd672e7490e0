#include "eval/store/probes.h"

#include "eval/store/row_copy.h"

namespace skipbench {

void add_probe(ResultStore& store, const ProbeRecord& record) {
  Statement(store.database(),
            "INSERT OR REPLACE INTO probes(identity, probed, command, commit_hash, device_name,"
            " result) VALUES(?, ?, ?, ?, ?, ?)")
      .bind(record.identity, utc_now(), record.command, record.commit, record.device_name,
            record.result)
      .run();
}

std::vector<ProbeRecord> probes(ResultStore& store) {
  Statement rows(store.database(),
                 "SELECT identity, command, commit_hash, device_name, result, probed FROM probes"
                 " ORDER BY probed, identity");
  std::vector<ProbeRecord> records;
  while (rows.step()) {
    records.push_back(
        {rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), rows.text(5)});
  }
  return records;
}

void merge_probes(Database& input, Database& output) {
  Statement rows(input, "SELECT * FROM probes");
  while (rows.step()) {
    const std::string identity = rows.text(rows.index("identity"));
    Statement known(output, "SELECT 1 FROM probes WHERE identity = ? AND probed >= ?");
    if (known.bind(identity, rows.text(rows.index("probed"))).step()) continue;
    Statement(output, "DELETE FROM probes WHERE identity = ?").bind(identity).run();
    copy_row(rows, output, "probes", {});
  }
}

}  // namespace skipbench
