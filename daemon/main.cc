// hearthd: one part, or one after the other as the hosts that may lead elect.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/config.h"
#include "daemon/identity/home.h"
#include "daemon/joining/joined_home.h"
#include "daemon/logging.h"
#include "daemon/program/part.h"
#include "daemon/program/shared_state.h"
#include "daemon/program/stop_signals.h"
#include "daemon/service_manager.h"
#include "daemon/standby/coordinator_role.h"
#include "daemon/standby/succession.h"
#include "daemon/web/http_face.h"
#include "engine/base/freed_memory.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "hearthd";

// With one that does not answer, when a coordinator starts.
constexpr absl::Duration kPatienceWithStandbys = absl::Seconds(1);

// Makes the directories and takes the state for this process; the lock ends with the process.
absl::Status TakeDirectories(const Config& config) {
  const std::string& directory = config.state_dir;
  for (const std::string& path : {directory, config.cache_dir, config.runtime_dir}) {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat("--state-dir: ", path, ": ", error.message()));
  }
  const int lock = open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return absl::InvalidArgumentError(absl::StrCat("--state-dir: cannot write to ", directory));
  if (flock(lock, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  close(lock);
  return absl::UnavailableError(absl::StrCat("another hearthd uses the directory ", directory,
                                             "; stop it or choose another --state-dir"));
}

absl::Status CheckModelsDirectory(const Config& config) {
  std::error_code error;
  if (config.models_dir.empty() || fs::is_directory(config.models_dir, error)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--models-dir: ", config.models_dir, " is no directory"));
}

// Of a host that may lead its home, or has: whom it works for meanwhile. Its certificate comes from the
// home's authority, which it may use.
Part WorkerPart(const Config& given, const Home& home, const v1::Leader& leader) {
  Part part;
  if (!leader.encrypted_address().empty()) part.key = home.key();
  part.key.server = part.key.empty() ? "" : AddressOf(leader);
  part.config = AtHome(given, part.key);
  part.config.join = AddressOf(leader);
  part.config.models.clear();
  part.config.models_dir.clear();
  part.config.lan = false;
  // A worker's port has no keys.
  if (HttpGuardOf(part.config).keys) part.config.http = kHttpOff;
  part.join = part.config.join;
  return part;
}

Part CoordinatorPart(const Config& given, SharedState& shared, const Election::Standing& standing) {
  Part part;
  part.config = given;
  part.shared = &shared;
  part.store = shared.Store(standing.fence);
  part.term = standing.term;
  return part;
}

// Whether a store that answers so would do so again.
bool IsForGood(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) ||
         absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status);
}

// Waits until this host leads or knows who does; nullopt: a signal has come before that. At the start what is
// wrong with the store ends the daemon, unless it may yet come.
absl::StatusOr<std::optional<Part>> AwaitPart(const Config& given, SharedState& shared,
                                              const StopSignals& signals, bool first) {
  Election& election = shared.election();
  election.Campaign();
  std::string warned;
  for (;;) {
    const Election::Standing standing = election.standing();
    if (election.Leads()) {
      spdlog::info("{} leads the cluster (term {})", given.name, standing.term);
      return CoordinatorPart(given, shared, standing);
    }
    if (standing.leader && !AddressOf(*standing.leader).empty()) {
      spdlog::info("{} leads the cluster, {} waits to", standing.leader->host(), given.name);
      HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Home> home,
                              Home::Open(given.state_dir, given.name, shared.Store({})));
      Part part = WorkerPart(given, *home, *standing.leader);
      part.shared = &shared;
      return part;
    }
    if (first && IsForGood(standing.problem)) return standing.problem;
    if (std::string problem(standing.problem.message()); !standing.problem.ok() && problem != warned) {
      spdlog::warn("--state-store: {}; trying again", Printable(problem));
      warned = std::move(problem);
    }
    if (signals.Await(absl::Milliseconds(20)) > 0) return std::nullopt;
  }
}

// One of several hosts that may lead: a coordinator or a worker, as they elect.
absl::Status PlayByElection(Config given, const StopSignals& signals, const ServiceManager& manager) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<SharedState> shared, SharedState::Open(given));
  for (bool first = true;; first = false) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<Part> part, AwaitPart(given, *shared, signals, first));
    if (!part) return absl::OkStatus();
    HEARTH_ASSIGN_OR_RETURN(const int signal, Play(*part, signals, manager, first, given));
    if (signal > 0) return absl::OkStatus();
    ReturnFreedMemory();
    if (part->coordinates()) {
      const absl::Status why = shared->election().standing().ended;
      // The clock may say so before the store's silence has ended the term.
      spdlog::warn("{} leads no more, and gives no tokens: {}", given.name,
                   why.ok() ? "its lease has run out" : Printable(why.message()));
    }
  }
}

// Of a host that leads its home, unless one of its standbys does by now, or works for the one that has taken
// its lead.
absl::StatusOr<Part> PartInSuccession(const Config& given, v1::Succession succession) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Home> home, Home::Open(given.state_dir, given.name));
  if (!succession.has_leader()) {
    if (const std::optional<v1::Succession> next =
            FindSuccessor(succession, given.name, home->key(), kPatienceWithStandbys)) {
      spdlog::warn("{} has taken the lead of the home (term {}): this host works for it",
                   Printable(next->leader().host()), next->term());
      HEARTH_RETURN_IF_ERROR(WriteSuccession(given.state_dir, *next));
      succession = *next;
    }
  }
  if (succession.has_leader()) {
    Part part = WorkerPart(given, *home, succession.leader());
    part.term = succession.term();
    return part;
  }
  if (JoinsHome(given)) {
    spdlog::info("leads the home as {}/succession says, which counts before --join", given.state_dir);
  }
  Part part;
  part.config = given;
  part.config.join.clear();
  part.config.lan |= JoinsHome(given);  // the hosts of the home that it has joined are to reach it
  part.config.remember_models = true;   // those of the former coordinator
  part.term = succession.term();
  part.succession = std::move(succession);
  return part;
}

// What a host is that shares no store: as it is set, until somebody has taken the lead of its home.
absl::StatusOr<Part> NextPart(const Config& given) {
  HEARTH_ASSIGN_OR_RETURN(std::optional<v1::Succession> succession, ReadSuccession(given.state_dir));
  if (succession) return PartInSuccession(given, *std::move(succession));
  Part part;
  HEARTH_ASSIGN_OR_RETURN(part.key, FindHome(given));
  part.config = AtHome(given, part.key);
  part.join = part.config.join;
  return part;
}

// Signals end it while it waits for its first home.
absl::Status PlayInSuccession(Config given, const ServiceManager& manager) {
  HEARTH_ASSIGN_OR_RETURN(Part part, NextPart(given));
  KeepFewPools();
  const StopSignals signals;
  for (bool first = true;; first = false) {
    HEARTH_ASSIGN_OR_RETURN(const int signal, Play(part, signals, manager, first, given));
    if (signal > 0) return absl::OkStatus();
    ReturnFreedMemory();
    HEARTH_ASSIGN_OR_RETURN(part, NextPart(given));
  }
}

absl::Status Run(const Config& given, const ServiceManager& manager) {
  HEARTH_RETURN_IF_ERROR(CheckModelsDirectory(given));
  HEARTH_RETURN_IF_ERROR(TakeDirectories(given));
  if (given.state_store.empty()) return PlayInSuccession(given, manager);
  KeepFewPools();
  const StopSignals signals;
  return PlayByElection(given, signals, manager);
}

int Main(const std::vector<std::string>& arguments) {
  BeginProgram();
  const ServiceManager manager = ServiceManager::Take();
  const absl::StatusOr<ParsedConfig> parsed = ParseConfig(arguments);
  if (!parsed.ok()) return EndProgram(kName, parsed.status(), kUsageExit);
  if (!parsed->message.empty()) return EndProgram(kName, Print(parsed->message));
  SetUpLogging(parsed->config.log_level, parsed->config.log_format);
  return EndProgram(kName, Run(parsed->config, manager));
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(std::vector<std::string>(argv + 1, argv + argc)); }
