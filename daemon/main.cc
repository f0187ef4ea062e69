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
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cluster/node.h"
#include "daemon/config.h"
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

// Waits for one of the signals, which it returns, or until a coordinator that was not there before refuses
// this host, with its words.
absl::StatusOr<int> AwaitEnd(const sigset_t& signals, const Node& node) {
  constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 500'000'000};
  for (;;) {
    const int signal = sigtimedwait(&signals, nullptr, &kLook);
    if (signal > 0) {
      pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second one ends the daemon the hard way
      return signal;
    }
    HEARTH_RETURN_IF_ERROR(node.Refusal());
  }
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

NodeOptions ToNodeOptions(const Config& config, const ConnectionKey& key) {
  NodeOptions options;
  options.key = key;
  options.name = config.name;
  options.state_dir = config.state_dir;
  options.cache_dir = config.cache_dir;
  options.join = config.join;
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

absl::StatusOr<HomeFace> OpenHome(const Config& config) {
  HomeFace face;
  if (!config.join.empty()) return face;
  HEARTH_ASSIGN_OR_RETURN(IdentityFiles files, IdentityFiles::Open(config.state_dir));
  HEARTH_ASSIGN_OR_RETURN(face.home, Home::Open(config.state_dir, config.name));
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
std::unique_ptr<StateStore> OpenState(const Config& config) {
  if (!config.join.empty()) return nullptr;
  absl::StatusOr<std::unique_ptr<StateStore>> store = OpenSqliteStore(config.state_dir + "/state.sqlite");
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
absl::StatusOr<std::unique_ptr<Server>> StartServer(const Config& config, Node& node, ModelHost* models,
                                                    const ConnectionKey& key, grpc::Service* home,
                                                    StateStore* state) {
  ServerOptions options;
  options.state = state;
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
  if (models == nullptr) return Server::StartForwarding(options, config.join, key);
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
  config.join = key.server;
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

absl::Status Run(const Config& given, const ServiceManager& manager) {
  RaiseFileLimit();
  HEARTH_RETURN_IF_ERROR(CheckModelsDirectory(given));
  HEARTH_RETURN_IF_ERROR(TakeDirectories(given));
  HEARTH_ASSIGN_OR_RETURN(const ConnectionKey key, FindHome(given));  // signals end it while it waits
  KeepFewPools();
  const sigset_t signals = BlockStopSignals();
  const Config config = AtHome(given, key);
  HEARTH_ASSIGN_OR_RETURN(HomeFace home, OpenHome(config));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Node> node,
                          Node::Create(ToNodeOptions(config, home.home ? home.home->key() : key)));
  const std::unique_ptr<StateStore> state = OpenState(config);
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<RememberedModels> remembered,
                          OpenRememberedModels(config, *node, state.get()));
  ModelHost* const served = remembered ? remembered.get() : node->model_host();
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                          StartServer(config, *node, served, key, home.service.get(), state.get()));
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
  HEARTH_RETURN_IF_ERROR(node->AwaitAccepted());
  for (const std::string& path : config.models) {
    HEARTH_RETURN_IF_ERROR(node->model_host()->Load({config.model_name, path}).status());
  }
  if (remembered) remembered->LoadAll();
  if (http.server) HEARTH_RETURN_IF_ERROR(WritePortFile(config, "http_port", http.server->address()));
  HEARTH_RETURN_IF_ERROR(WritePortFile(config, "port", server->address()));
  // Everything else goes to the log on stderr.
  const std::vector<ModelInfo> models =
      node->model_host() == nullptr ? std::vector<ModelInfo>() : node->model_host()->List();
  HEARTH_RETURN_IF_ERROR(Print(ReadyText(server->address(), http.text, models)));
  spdlog::info("{} listens on {}{}", config.name, server->address(),
               config.join.empty() ? "" : " as a worker of " + config.join);

  WarnUnlessOk(manager.Ready(StatusLine(*node, server->address())));
  {
    const Watchdog watchdog = WatchOver(manager, *node, *server);
    HEARTH_ASSIGN_OR_RETURN(const int signal, AwaitEnd(signals, *node));
    spdlog::info("stopping on {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
  }
  WarnUnlessOk(manager.Stopping());
  if (home.lan != nullptr) home.lan->Close();
  server->EndGenerations();
  if (http.server) http.dashboard->Stop();
  node->Stop();
  if (http.server) http.server->Stop(absl::ToChronoMilliseconds(kShutdownGrace));
  server->Shutdown(kShutdownGrace);
  return absl::OkStatus();
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
