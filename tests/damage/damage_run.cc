// Damages models, the weights that a host keeps and the messages that tell it what to hold, in every way that
// a seed gives, and uses them as hearthd does: there is an error or there is text, never a crash, a hang or a
// leak.
//
//   damage_run --count 10000            mutations 0 to 9999
//   damage_run --first 4711 --count 1   that one again
//
// The mutations run in a process of their own, so that one that ends it can be named.
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "tests/damage/damaged_cluster.h"
#include "tests/damage/damaged_shard.h"
#include "tests/damage/mutation.h"

namespace hearth {
namespace {

// No mutation takes longer, be the machine as busy as it may.
constexpr std::chrono::seconds kHang{120};

constexpr size_t kAnyLength = 1 << 20;

struct Flags {
  uint64_t first = 0, count = 2000, seed = 1;
  bool verbose = false;
};

// What the process with the mutations tells the one that watches it.
struct Progress {
  std::atomic<uint64_t> current{0};
};

// Descriptors and threads of this process: what a leak would make grow.
size_t OpenThings() {
  const auto count = [](const char* directory) {
    const std::filesystem::directory_iterator entries(directory);
    return static_cast<size_t>(std::distance(begin(entries), end(entries)));
  };
  return count("/proc/self/fd") + count("/proc/self/task");
}

class Run {
 public:
  Run(const Flags& flags, std::vector<Sound> models, DamagedCluster& cluster)
      : flags_(flags), models_(std::move(models)), cluster_(cluster) {}

  // False when a mutation had an outcome that is not allowed.
  bool One(uint64_t number) {
    const uint64_t seed = flags_.seed * 1000003 + number;
    std::string what;
    absl::Status status;
    bool fine = true;
    if (number % 10 == 9) {
      what = "a worker's orders";
      status = TryShard(seed, models_);
    } else if (number % 20 == 8) {
      const Sound& sound = models_[seed % models_.size()];
      what = absl::StrCat(sound.name, ": a worker's cache");
      cluster_.DamageCache(seed);
      status = cluster_.Try(absl::StrCat("m", number), sound.bytes);
      fine = status.ok();
    } else {
      const Mutation mutation = MutationOf(seed, models_);
      what = mutation.what;
      status = cluster_.Try(absl::StrCat("m", number), mutation.bytes);
    }
    // An error is a line for a person, and none of our own bugs.
    if (!status.ok()) {
      fine = fine && !status.message().empty() &&
             Printable(status.message(), kAnyLength) == status.message() &&
             status.code() != absl::StatusCode::kInternal && status.code() != absl::StatusCode::kUnknown;
    }
    ++outcomes_[status.ok() ? "text" : absl::StatusCodeToString(status.code())];
    if (!fine || flags_.verbose) {
      std::fprintf(stderr, "%s%d: %s: %s\n", fine ? "" : "WRONG: ", static_cast<int>(number), what.c_str(),
                   status.ToString().c_str());
    }
    return fine;
  }

  void ShowOutcomes() const {
    for (const auto& [outcome, count] : outcomes_) std::printf("%6zu %s\n", count, outcome.c_str());
  }

 private:
  const Flags flags_;
  const std::vector<Sound> models_;
  DamagedCluster& cluster_;
  std::map<std::string, size_t> outcomes_;
};

// All mutations, in this process: the number of wrong outcomes.
int RunAll(const Flags& flags, const std::string& directory, Progress& progress) {
  spdlog::set_level(spdlog::level::off);
  auto models = SoundModels(DEMO_MODELS, MODEL_FIXTURES);
  auto cluster = DamagedCluster::Start(directory);
  if (!models.ok() || !cluster.ok()) {
    std::fprintf(stderr, "%s %s\n", models.status().ToString().c_str(), cluster.status().ToString().c_str());
    return 1;
  }
  int wrong = 0;
  Run run(flags, *std::move(models), **cluster);
  constexpr uint64_t kWarm = 100;  // until then pools and connections still grow
  constexpr size_t kMargin = 40;
  size_t open_when_warm = 0;
  for (uint64_t i = 0; i < flags.count; ++i) {
    progress.current = flags.first + i;
    wrong += run.One(flags.first + i) ? 0 : 1;
    if (i == kWarm) open_when_warm = OpenThings();
  }
  run.ShowOutcomes();
  if (flags.count > kWarm && OpenThings() > open_when_warm + kMargin) {
    std::fprintf(stderr, "WRONG: %zu descriptors and threads have become %zu\n", open_when_warm,
                 OpenThings());
    ++wrong;
  }
  return wrong;
}

// Waits for the process with the mutations; ends it when it hangs.
int Watch(pid_t child, const Progress& progress) {
  auto changed = std::chrono::steady_clock::now();
  uint64_t seen = progress.current;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (progress.current != seen) {
      seen = progress.current;
      changed = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - changed > kHang) {
      std::fprintf(stderr, "WRONG: mutation %d hangs\n", static_cast<int>(seen));
      kill(child, SIGABRT);
      waitpid(child, &status, 0);
      return 1;
    }
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return WEXITSTATUS(status);
  std::fprintf(stderr, "WRONG: mutation %d ended the process (or its end, when it is the last)\n",
               static_cast<int>(progress.current));
  return 1;
}

int Main(const Flags& flags) {
  const std::string directory =
      absl::StrCat(std::filesystem::temp_directory_path().string(), "/hearth-damage-", getpid());
  std::filesystem::create_directories(directory);
  void* shared = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Progress& progress = *new (shared) Progress();
  // Before anything starts a thread.
  const pid_t child = fork();
  if (child == 0) std::exit(RunAll(flags, directory, progress) == 0 ? 0 : 1);
  const int result = child < 0 ? 1 : Watch(child, progress);
  std::filesystem::remove_all(directory);
  if (result != 0) {
    std::fprintf(stderr, "to repeat one: damage_run --seed %d --first NUMBER --count 1 --verbose\n",
                 static_cast<int>(flags.seed));
  }
  return result;
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) {
  CLI::App app("Loads and uses damaged models, weights and messages");
  hearth::Flags flags;
  app.add_option("--count", flags.count, "mutations")->capture_default_str();
  app.add_option("--first", flags.first, "number of the first one")->capture_default_str();
  app.add_option("--seed", flags.seed, "another seed gives other mutations")->capture_default_str();
  app.add_flag("--verbose", flags.verbose, "show the outcome of each");
  CLI11_PARSE(app, argc, argv);
  return hearth::Main(flags);
}
