// hearthd: joins the cluster half (hosts, plans, weights) and the serving half (requests, text) of the
// daemon.
#include <fcntl.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cluster/node.h"
#include "daemon/config.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/identity/home.h"
#include "daemon/joining/coordinator_lan.h"
#include "daemon/joining/home_service.h"
#include "daemon/joining/joined_home.h"
#include "daemon/life_sign.h"
#include "daemon/logging.h"
#include "daemon/ready_text.h"
#include "daemon/remembered_models.h"
#include "daemon/service_manager.h"
#include "daemon/serving/server.h"
#include "daemon/shared_state.h"
#include "daemon/state/sqlite_store.h"
#include "daemon/watchdog.h"
#include "daemon/web/http_face.h"
#include "engine/base/freed_memory.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "hearthd";

// How long calls may go on after the daemon was told to stop; generations end at once.
constexpr absl::Duration kShutdownGrace = absl::Seconds(1);
// The same where it goes on as something else, which nobody is to wait for.
constexpr absl::Duration kChangeGrace = absl::Milliseconds(200);

// What streams have generated is collected for so long before it is written to a store of several hosts.
constexpr absl::Duration kWriteToSharedAfter = absl::Milliseconds(100);
constexpr absl::Duration kWriteToSharedAgainAfter = absl::Seconds(2);

// A service manager that does not hear of the daemon is to be found in the log.
void WarnUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

// From now on SIGTERM and SIGINT wait for AwaitSignal. Before any thread is started, so that all inherit it.
sigset_t BlockStopSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Where other hosts reach a leader; empty: nowhere yet.
std::string AddressOf(const v1::Leader& leader) {
  return leader.encrypted_address().empty() ? leader.address() : leader.encrypted_address();
}

// What a daemon is: a coordinator, or the worker of one, for as long as it lives, or until the hosts that
// share its state have another leader.
struct Part {
  Config config;                     // with whom it joins: empty for a coordinator
  ConnectionKey key;                 // a worker's
  SharedState* shared = nullptr;     // null: nobody else leads
  std::shared_ptr<EtcdStore> store;  // of a coordinator that shares
  uint64_t term = 0;                 // of such a coordinator
  CoordinatorAddresses join;         // of a worker

  bool shares() const { return shared != nullptr; }
  bool coordinates() const { return config.join.empty(); }
};

// Waits a moment for one of the signals, which it returns; 0: none has come.
int AwaitSignal(const sigset_t& signals, absl::Duration moment) {
  const timespec wait = absl::ToTimespec(moment);
  const int signal = sigtimedwait(&signals, nullptr, &wait);
  if (signal <= 0) return 0;
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second one ends the daemon the hard way
  return signal;
}

// Whether the part is over. A worker learns whom it works for by now.
bool IsOver(const Part& part) {
  if (!part.shares()) return false;
  Election& election = part.shared->election();
  const bool leads = election.Leads();
  if (part.coordinates()) return !leads || election.standing().term != part.term;
  const std::optional<v1::Leader> leader = election.standing().leader;
  if (const std::string address = leader ? AddressOf(*leader) : ""; !address.empty()) part.join.Use(address);
  return leads;
}

// Waits for one of the signals, which it returns, or until a coordinator that was not there before refuses
// this host, with its words, or until the part is over: 0. `look` is called on the way.
absl::StatusOr<int> AwaitEnd(const sigset_t& signals, const Node& node, const Part& part,
                             const std::function<void()>& look) {
  const absl::Duration apart = part.shares() ? absl::Milliseconds(50) : absl::Milliseconds(500);
  while (!IsOver(part)) {
    if (const int signal = AwaitSignal(signals, apart); signal > 0) return signal;
    HEARTH_RETURN_IF_ERROR(node.Refusal());
    look();
  }
  return 0;
}

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

// Leaves the port in the file `name` of the runtime directory, which is the state's unless a service manager
// gives one, whole or not at all, for scripts that start the daemon with port 0.
absl::Status WritePortFile(const Config& config, const char* name, const std::string& address) {
  return WriteFile(fs::path(config.runtime_dir) / name, address.substr(address.rfind(':') + 1) + "\n",
                   Replace::kRegularFile);
}

NodeOptions ToNodeOptions(const Part& part, const ConnectionKey& key) {
  const Config& config = part.config;
  NodeOptions options;
  options.term = part.term;
  options.key = key;
  options.name = config.name;
  options.state_dir = config.state_dir;
  options.cache_dir = config.cache_dir;
  options.join = part.join;
  options.tensor_listen = config.tensor_listen;
  options.version = HEARTH_VERSION;
  options.devices = config.devices;
  options.threads = config.threads;
  options.cache_bytes = config.cache_bytes;
  options.context_length = config.context;
  options.slots = config.slots;
  options.kv_type = config.kv_type;
  options.arithmetic = config.arithmetic;
  options.sparsity = config.sparsity;
  options.objective = config.objective;
  options.use_every_host = config.use_every_host;
  options.stages = config.stages;
  options.keep_attention = config.keep_attention;
  options.yield = config.yield;
  return options;
}

// A coordinator's home and what opens it to other machines; nothing on a worker.
struct HomeFace {
  std::unique_ptr<Home> home;
  std::unique_ptr<CoordinatorLan> lan;
  std::unique_ptr<grpc::Service> service;
};

absl::StatusOr<HomeFace> OpenHome(const Part& part) {
  const Config& config = part.config;
  HomeFace face;
  if (!part.coordinates()) return face;
  HEARTH_ASSIGN_OR_RETURN(IdentityFiles files, IdentityFiles::Open(config.state_dir));
  if (part.shares()) {
    HEARTH_ASSIGN_OR_RETURN(face.home, Home::Open(config.state_dir, config.name, part.store));
  } else {
    HEARTH_ASSIGN_OR_RETURN(face.home, Home::Open(config.state_dir, config.name));
  }
  face.lan = std::make_unique<CoordinatorLan>(std::move(files), *face.home, config.lan_listen);
  face.service = MakeHomeService(*face.home, *face.lan);
  return face;
}

// Opens the ports where they are asked for or were open before. Without --lan what fails then is a warning:
// this machine's own users get a daemon that works.
absl::Status OpenLan(const Config& config, Server& server, HomeFace& face) {
  if (face.lan == nullptr) return absl::OkStatus();
  face.lan->SetServer(&server);
  HEARTH_ASSIGN_OR_RETURN(const bool was_open, face.lan->WasOpen());
  if (!config.lan && !was_open) return absl::OkStatus();
  const absl::Status opened = face.lan->Open().status();
  if (config.lan || opened.ok()) return opened;
  spdlog::warn("not open to other machines: {}", std::string(opened.message()));
  return absl::OkStatus();
}

// Where a coordinator keeps what the next one is to have; null on a worker, and where that does not work: the
// daemon does.
std::shared_ptr<StateStore> OpenState(const Part& part) {
  if (!part.coordinates()) return nullptr;
  if (part.shares()) return part.store;
  absl::StatusOr<std::unique_ptr<StateStore>> store =
      OpenSqliteStore(part.config.state_dir + "/state.sqlite");
  if (store.ok()) return *std::move(store);
  spdlog::warn("requests and loaded models do not outlive this daemon: {}",
               Printable(store.status().message()));
  return nullptr;
}

// What clients load is remembered there; null where it is not to be.
absl::StatusOr<std::unique_ptr<RememberedModels>> OpenRememberedModels(const Config& config, Node& node,
                                                                       StateStore* state) {
  if (!config.remember_models || node.model_host() == nullptr || state == nullptr) return nullptr;
  return RememberedModels::Open(*node.model_host(), *state, config.state_dir + "/loaded-models");
}

// `models`: null on a worker.
absl::StatusOr<std::unique_ptr<Server>> StartServer(const Part& part, Node& node, ModelHost* models,
                                                    grpc::Service* home, StateStore* state) {
  const Config& config = part.config;
  ServerOptions options;
  options.state = state;
  if (part.shares()) {
    options.may_lead = true;
    options.leads = [&election = part.shared->election()] { return election.Leads(); };
    options.kept.write_after = kWriteToSharedAfter;
    options.kept.retry_after = kWriteToSharedAgainAfter;
  }
  if (!config.models_dir.empty()) {
    // Past what remembers models: the directory has them.
    options.on_demand = {node.model_host(), config.models_dir,
                         config.models_idle_minutes == 0 ? absl::InfiniteDuration()
                                                         : absl::Minutes(config.models_idle_minutes)};
  }
  options.pauses = node.host_pauses();
  options.host = config.name;
  options.listen = config.listen;
  options.scheduler.queue = config.queue;
  options.scheduler.token_wait = absl::Milliseconds(config.token_wait_ms);
  options.scheduler.draft_tokens = config.draft_tokens;
  options.scheduler.replan_wait = absl::Seconds(config.replan_wait_seconds);
  options.register_services = [&node, home](grpc::ServerBuilder& builder) {
    node.RegisterServices(builder);
    if (home != nullptr) builder.RegisterService(home);
  };
  if (models == nullptr) return Server::StartForwarding(options, part.join, part.key);
  return Server::Start(options, *models, node.cluster_view());
}

// Connections need a file each: takes all that the system allows, and says how many that is.
size_t RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t before = std::exchange(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 65536));
  if (limit.rlim_cur < before || setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  return limit.rlim_cur;
}

// The settings of a worker that has found its home: whom to call, and where to be called by it.
Config AtHome(Config config, const ConnectionKey& key) {
  if (key.empty()) return config;
  config.join = config.join_others.empty() ? key.server : absl::StrCat(key.server, ",", config.join_others);
  if (config.tensor_listen != Config().tensor_listen || IsLoopbackAddress(key.server)) return config;
  config.tensor_listen = key.server.front() == '[' ? "[::]:0" : "0.0.0.0:0";
  return config;
}

std::string StatusLine(Node& node, const std::string& address) {
  ModelHost* const models = node.model_host();
  return models == nullptr ? WorkerStatusText(address) : StatusText(address, models->List());
}

// Tells the service manager, half as long after the last time as it waits, that the daemon's halves live: the
// cluster's locks can be had, and calls are answered.
Watchdog WatchOver(const ServiceManager& manager, Node& node, Server& server) {
  const absl::Duration interval = manager.watchdog() / 2;
  return Watchdog(
      interval,
      [&node, channel = server.InProcessChannel(), interval] {
        node.cluster_view().Snapshot();
        return AnswersCalls(channel, interval);
      },
      [&manager, &node, &server] { WarnUnlessOk(manager.Alive(StatusLine(node, server.address()))); });
}

// Where other hosts reach a coordinator, for those that may follow it.
void Announce(const Part& part, const Server& server, const HomeFace& home) {
  if (!part.shares() || !part.coordinates()) return;
  v1::Leader leader;
  leader.set_host(part.config.name);
  leader.set_address(server.address());
  if (home.lan != nullptr) leader.set_encrypted_address(home.lan->server());
  part.shared->election().Announce(leader);
}

// Ports that any free number was asked for keep theirs when the daemon becomes something else.
void KeepPorts(const Server& server, const HttpFace& http, Config& given) {
  given.listen = server.address();
  if (given.http && http.server) given.http = http.server->address();
}

// Is what `part` says until a signal comes, which it returns, or, with 0, until that is over. `given`: the
// settings of the parts to come. `first`: it has just been started.
absl::StatusOr<int> Play(const Part& part, const sigset_t& signals, const ServiceManager& manager, bool first,
                         Config& given) {
  const Config& config = part.config;
  HEARTH_ASSIGN_OR_RETURN(HomeFace home, OpenHome(part));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Node> node,
                          Node::Create(ToNodeOptions(part, home.home ? home.home->key() : part.key)));
  const std::shared_ptr<StateStore> state = OpenState(part);
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<RememberedModels> remembered,
                          OpenRememberedModels(config, *node, state.get()));
  ModelHost* const served = remembered ? remembered.get() : node->model_host();
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                          StartServer(part, *node, served, home.service.get(), state.get()));
  HEARTH_ASSIGN_OR_RETURN(const HttpFace http,
                          StartHttp(config, *server, home.home.get(), RaiseFileLimit() / 2));
  if (home.home != nullptr) {
    home.home->SetRemovedListener([&node = *node, &server = *server, &http](const HostId& id) {
      node.Forget(id);
      server.EndCallsOf(id);
      if (http.gate) http.gate->EndAnswersTo(id);
    });
  }
  node->Start();
  HEARTH_RETURN_IF_ERROR(OpenLan(config, *server, home));
  Announce(part, *server, home);
  HEARTH_RETURN_IF_ERROR(node->AwaitAccepted());
  if (part.coordinates()) {
    for (const std::string& path : config.models)
      HEARTH_RETURN_IF_ERROR(node->model_host()->Load({config.model_name, path}).status());
  }
  if (remembered) remembered->LoadAll();
  if (http.server) HEARTH_RETURN_IF_ERROR(WritePortFile(config, "http_port", http.server->address()));
  HEARTH_RETURN_IF_ERROR(WritePortFile(config, "port", server->address()));
  KeepPorts(*server, http, given);
  // Everything else goes to the log on stderr.
  const std::vector<ModelInfo> models =
      node->model_host() == nullptr ? std::vector<ModelInfo>() : node->model_host()->List();
  if (first) HEARTH_RETURN_IF_ERROR(Print(ReadyText(server->address(), http.text, models)));
  spdlog::info("{} listens on {}{}", config.name, server->address(),
               part.coordinates() ? "" : " as a worker of " + part.join.text());

  WarnUnlessOk(manager.Ready(StatusLine(*node, server->address())));
  int signal = 0;
  {
    const Watchdog watchdog = WatchOver(manager, *node, *server);
    HEARTH_ASSIGN_OR_RETURN(signal, AwaitEnd(signals, *node, part, [&] { Announce(part, *server, home); }));
  }
  if (signal > 0) {
    spdlog::info("stopping on {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
    WarnUnlessOk(manager.Stopping());
  }
  const absl::Duration grace = signal > 0 ? kShutdownGrace : kChangeGrace;
  if (home.lan != nullptr) home.lan->Close();
  server->EndGenerations();
  if (http.server) http.dashboard->Stop();
  node->Stop();
  if (http.server) http.server->Stop(absl::ToChronoMilliseconds(grace));
  server->Shutdown(grace);
  return signal;
}

// Of a host that waits to lead: whom it works for meanwhile.
absl::StatusOr<Part> WorkerPart(const Config& given, SharedState& shared, const v1::Leader& leader) {
  Part part;
  // Its certificate comes from the home's authority, which it may use.
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Home> home,
                          Home::Open(given.state_dir, given.name, shared.Store({})));
  if (!leader.encrypted_address().empty()) part.key = home->key();
  part.key.server = part.key.empty() ? "" : AddressOf(leader);
  part.config = AtHome(given, part.key);
  part.config.join = AddressOf(leader);
  part.config.models.clear();
  part.config.models_dir.clear();
  part.config.lan = false;
  // A worker's port has no keys.
  if (HttpGuardOf(part.config).keys) part.config.http = kHttpOff;
  part.shared = &shared;
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
                                              const sigset_t& signals, bool first) {
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
      return WorkerPart(given, shared, *standing.leader);
    }
    if (first && IsForGood(standing.problem)) return standing.problem;
    if (std::string problem(standing.problem.message()); !standing.problem.ok() && problem != warned) {
      spdlog::warn("--state-store: {}; trying again", Printable(problem));
      warned = std::move(problem);
    }
    if (AwaitSignal(signals, absl::Milliseconds(20)) > 0) return std::nullopt;
  }
}

// One of several hosts that may lead: a coordinator or a worker, as they elect.
absl::Status PlayByElection(Config given, const sigset_t& signals, const ServiceManager& manager) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<SharedState> shared, SharedState::Open(given));
  for (bool first = true;; first = false) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<Part> part, AwaitPart(given, *shared, signals, first));
    if (!part) return absl::OkStatus();
    HEARTH_ASSIGN_OR_RETURN(const int signal, Play(*part, signals, manager, first, given));
    if (signal > 0) return absl::OkStatus();
    if (part->coordinates()) {
      const absl::Status why = shared->election().standing().ended;
      spdlog::warn("{} leads no more, and gives no tokens: {}", given.name, Printable(why.message()));
    }
  }
}

absl::Status Run(const Config& given, const ServiceManager& manager) {
  RaiseFileLimit();
  HEARTH_RETURN_IF_ERROR(CheckModelsDirectory(given));
  HEARTH_RETURN_IF_ERROR(TakeDirectories(given));
  Part part;
  HEARTH_ASSIGN_OR_RETURN(part.key, FindHome(given));  // signals end it while it waits
  KeepFewPools();
  const sigset_t signals = BlockStopSignals();
  if (!given.state_store.empty()) return PlayByElection(given, signals, manager);
  part.config = AtHome(given, part.key);
  part.join = part.config.join;
  Config next = given;
  return Play(part, signals, manager, /*first=*/true, next).status();
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
