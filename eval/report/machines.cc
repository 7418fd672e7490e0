#include "eval/report/machines.h"

#include <fmt/format.h>

#include <algorithm>

namespace skipbench {
namespace {

size_t index_of(std::vector<Machine>& machines, const Machine& machine) {
  const auto found = std::find_if(machines.begin(), machines.end(),
                                  [&](const Machine& known) { return known.is_same(machine); });
  if (found != machines.end()) return static_cast<size_t>(found - machines.begin());
  machines.push_back(machine);
  return machines.size() - 1;
}

// A run notes the first of its devices alone. Of the others a timing says all, a quality cell the
// kind: what is not known of it is taken from a timing on the same card.
void add_cells(Database& database, int64_t run, const char* kind, CellMachines& found) {
  Statement rows(database,
                 "SELECT c.id, r.device, r.device_name, r.cpu, r.threads, r.instruction_set,"
                 " c.resolved ->> '$.machine[0]', c.resolved ->> '$.machine[1]',"
                 " c.resolved ->> '$.machine[2]', c.resolved ->> '$.machine[3]',"
                 " c.resolved ->> '$.machine[4]', c.resolved ->> '$.device',"
                 " (SELECT v.device_name FROM run_variants v WHERE v.run_id = r.id AND"
                 "  v.device = c.resolved ->> '$.device')"
                 " FROM run_cells l JOIN cells c ON c.id = l.cell_id JOIN runs r ON r.id = c.run_id"
                 " WHERE l.run_id = ? AND c.kind = ? AND c.status = 'done' ORDER BY l.ordinal");
  rows.bind(run, std::string(kind));
  while (rows.step()) {
    const int first = rows.is_null(6) ? 1 : 6;
    Machine machine{rows.text(first), rows.text(first + 1), rows.text(first + 2),
                    rows.integer(first + 3), rows.text(first + 4)};
    const bool is_other_device =
        rows.is_null(6) && !rows.is_null(12) && rows.text(11) != machine.device;
    if (is_other_device) {
      machine = {rows.text(11), rows.text(12), machine.cpu};
      for (const Machine& known : found.machines) {
        if (known.device == machine.device && known.device_name == machine.device_name &&
            known.cpu == machine.cpu) {
          machine = known;
        }
      }
    }
    found.of_cell[rows.integer(0)] = index_of(found.machines, machine);
  }
}

// A run on several devices has kept the peaks of one of them, and does not say of which.
void add_peaks(Database& database, Machine& machine) {
  Statement peaks(database,
                  "SELECT peak_read_bytes_per_second, peak_flops_per_second FROM runs r"
                  " WHERE device = ? AND device_name = ? AND cpu = ? AND threads = ?"
                  " AND instruction_set = ? AND peak_read_bytes_per_second IS NOT NULL"
                  " AND state != 'merged' AND (SELECT count(DISTINCT device) FROM run_variants v"
                  "  WHERE v.run_id = r.id) <= 1 ORDER BY id DESC LIMIT 1");
  peaks.bind(machine.device, machine.device_name, machine.cpu, machine.threads,
             machine.instruction_set);
  if (!peaks.step()) return;
  machine.peak_read_bytes_per_second = peaks.real(0);
  machine.peak_flops_per_second = peaks.real(1);
}

}  // namespace

bool Machine::is_same(const Machine& other) const {
  return device == other.device && device_name == other.device_name && cpu == other.cpu &&
         threads == other.threads && instruction_set == other.instruction_set;
}

std::string machine_name(const Machine& machine) {
  std::string name = machine.device_name;
  if (machine.device != "cpu") name += " beside " + machine.cpu;
  if (!machine.instruction_set.empty()) name += " / " + machine.instruction_set;
  if (machine.threads > 0) {
    name += fmt::format(" / {} {}", machine.threads, machine.threads == 1 ? "thread" : "threads");
  }
  return name;
}

CellMachines find_machines(Database& database, int64_t run) {
  CellMachines found;
  for (const char* kind : {"timing", "quality"}) add_cells(database, run, kind, found);
  for (Machine& machine : found.machines) add_peaks(database, machine);
  return found;
}

}  // namespace skipbench
