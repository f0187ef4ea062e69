// Runs the daemon's decisions on a simulated clock, network and disks, one simulation for each seed:
//
//   simulation_run --seeds FROM:TO        prints a line for each seed that fails, and how it is run again
//   simulation_run --seed N --verbose     that one, with what happens in it
//   simulation_run --seeds FROM:TO --models 2    with models that share the memory
//   simulation_run --find-bug NAME        puts a known bug in and runs seeds until it is found
//   simulation_run --scale HOSTS:STREAMS  says what a coordinator's decisions cost; fails beyond a tenth of a
//   core
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/scale.h"
#include "tests/simulation/world.h"

namespace {

using hearth::simulation::Bug;
using hearth::simulation::kBugs;
using hearth::simulation::Options;
using hearth::simulation::World;

struct Totals {
  uint64_t runs = 0, failures = 0, events = 0, tokens = 0, retries = 0, whole = 0;
};

std::string RunOne(const Options& options, Totals& totals) {
  World world(options);
  const std::string violation = world.Run();
  ++totals.runs;
  totals.failures += !violation.empty();
  totals.events += world.loop().events();
  totals.tokens += world.clients().tokens();
  totals.retries += world.clients().retries();
  totals.whole += world.clients().whole();
  return violation;
}

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int RunSeeds(Options options, uint64_t from, uint64_t to) {
  Totals totals;
  const double start = CpuSeconds();
  for (options.seed = from; options.seed < to; ++options.seed) {
    const std::string violation = RunOne(options, totals);
    if (violation.empty()) continue;
    absl::PrintF("seed %d: %s\n  simulation_run --seed %d --verbose\n", options.seed, violation,
                 options.seed);
    std::fflush(stdout);
  }
  absl::PrintF("%d of %d seeds failed; %d events, %d tokens, %d whole texts, %d retries, %.1f s of CPU\n",
               totals.failures, totals.runs, totals.events, totals.tokens, totals.whole, totals.retries,
               CpuSeconds() - start);
  return totals.failures == 0 ? 0 : 1;
}

int FindBug(Options options, const std::string& name, uint64_t most) {
  Totals totals;
  for (options.seed = 0; options.seed < most; ++options.seed) {
    const std::string violation = RunOne(options, totals);
    if (violation.empty()) continue;
    Options without = options;
    without.bug = Bug::kNone;
    if (!RunOne(without, totals).empty()) continue;  // it is not the bug
    absl::PrintF("bug %s is found by seed %d: %s\n", name, options.seed, violation);
    return 0;
  }
  absl::PrintF("bug %s is not found by %d seeds\n", name, most);
  return 1;
}

int RunScale(uint32_t hosts, uint32_t streams) {
  const auto figures = hearth::simulation::MeasureScale(hosts, streams);
  absl::PrintF(
      "%d hosts have joined after %.1f s (%.3f of a core); with %d streams %.3f of a core, memory grows by "
      "%d bytes in "
      "40 s\n",
      hosts, figures.joined_s, figures.joining_cores, streams, figures.steady_cores, figures.growth_bytes);
  const bool good = figures.joined_s <= 60 && figures.steady_cores < 0.1 && figures.growth_bytes < (1 << 20);
  return good ? 0 : 1;
}

int Usage() {
  absl::FPrintF(stderr,
                "usage: simulation_run [--seeds FROM:TO | --seed N [--models N] [--bug NAME] [--verbose] | "
                "--find-bug NAME | "
                "--scale HOSTS:STREAMS]\nbugs:");
  for (const auto& [name, bug] : kBugs) absl::FPrintF(stderr, " %s", name);
  absl::FPrintF(stderr, "\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string find;
  uint64_t from = 0, to = 100;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--verbose") {
      options.verbose = true;
      continue;
    }
    if (i + 1 == argc) return Usage();
    const std::string value = argv[++i];
    if (flag == "--models") {
      if (!absl::SimpleAtoi(value, &options.models) || options.models == 0) return Usage();
    } else if (flag == "--seed") {
      if (!absl::SimpleAtoi(value, &from)) return Usage();
      to = from + 1;
    } else if (flag == "--seeds") {
      const std::pair<std::string, std::string> range = absl::StrSplit(value, absl::MaxSplits(':', 1));
      if (!absl::SimpleAtoi(range.first, &from) || !absl::SimpleAtoi(range.second, &to)) return Usage();
    } else if (flag == "--scale") {
      const std::pair<std::string, std::string> numbers = absl::StrSplit(value, absl::MaxSplits(':', 1));
      uint32_t hosts = 0, streams = 0;
      if (!absl::SimpleAtoi(numbers.first, &hosts) || !absl::SimpleAtoi(numbers.second, &streams))
        return Usage();
      spdlog::set_level(spdlog::level::off);
      return RunScale(hosts, streams);
    } else if ((flag == "--bug" || flag == "--find-bug") && kBugs.contains(value)) {
      options.bug = kBugs.at(value);
      if (flag == "--find-bug") find = value;
    } else {
      return Usage();
    }
  }
  spdlog::set_default_logger(spdlog::stdout_logger_st("daemon"));
  spdlog::set_pattern("           %v");
  spdlog::set_level(options.verbose ? spdlog::level::info : spdlog::level::off);
  return find.empty() ? RunSeeds(options, from, to) : FindBug(options, find, 2000);
}
