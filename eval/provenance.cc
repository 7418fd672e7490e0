#include "eval/provenance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <fstream>
#include <vector>

#include "build_info.h"

namespace skipbench {
namespace {

std::string cpu_model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const size_t begin = line.find_first_not_of(" \t:", line.find(':'));
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "unknown";
}

}  // namespace

Build build_of(const Provenance& from) {
  return {from.commit, from.dirty_hash,      from.compiler,
          from.flags,  from.instruction_set, from.device_name};
}

std::string card_text(const Provenance& provenance) {
  const CardDescription& card = provenance.card;
  const LibraryVersions& libraries = provenance.libraries;
  std::vector<std::string> parts;
  if (!card.driver.empty()) parts.push_back("driver " + card.driver);
  if (!libraries.cuda_runtime.empty()) parts.push_back("CUDA " + libraries.cuda_runtime);
  if (!libraries.cublaslt.empty()) parts.push_back("cuBLASLt " + libraries.cublaslt);
  if (card.power_limit_watts) {
    parts.push_back(fmt::format("power limit {:g} W", *card.power_limit_watts));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

Provenance collect_provenance(const Backend& backend) {
  Provenance provenance;
  provenance.commit = build_info::kCommit;
  provenance.dirty_hash = build_info::kDirtyHash;
  provenance.compiler = build_info::kCompiler;
  provenance.flags = build_info::kFlags;
  provenance.device = backend.name();
  provenance.device_name = backend.device_name();
  provenance.cpu = cpu_model_name();
  provenance.threads = backend.threads();
  provenance.instruction_set = backend.instruction_set();
  provenance.libraries = backend.library_versions();
  if (getloadavg(&provenance.load_average, 1) != 1) provenance.load_average = 0;
  return provenance;
}

}  // namespace skipbench
