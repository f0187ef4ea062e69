#include "daemon/program/part.h"

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/cluster/node.h"
#include "daemon/discovery/lan_addresses.h"
#include "daemon/discovery/wake_on_lan.h"
#include "daemon/identity/home.h"
#include "daemon/joining/coordinator_lan.h"
#include "daemon/joining/home_service.h"
#include "daemon/joining/joined_home.h"
#include "daemon/joining/renewal.h"
#include "daemon/life_sign.h"
#include "daemon/membership/told_coordinators.h"
#include "daemon/ready_text.h"
#include "daemon/remembered_models.h"
#include "daemon/repeater.h"
#include "daemon/serving/server.h"
#include "daemon/standby/coordinator_role.h"
#include "daemon/standby/home_state.h"
#include "daemon/standby/standby_service.h"
#include "daemon/standby/succession.h"
#include "daemon/standby/worker_role.h"
#include "daemon/state/sqlite_store.h"
#include "daemon/watchdog.h"
#include "daemon/web/http_face.h"
#include "daemon/weights/model_copies.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// How long calls may go on after the daemon was told to stop; generations end at once.
constexpr absl::Duration kShutdownGrace = absl::Seconds(1);
// The same where it goes on as something else, which nobody is to wait for.
constexpr absl::Duration kChangeGrace = absl::Milliseconds(200);

// Between looks at the certificate's life.
constexpr absl::Duration kRenewalsApart = absl::Minutes(1);

// What streams have generated is collected for so long before it is written to a store of several hosts.
constexpr absl::Duration kWriteToSharedAfter = absl::Milliseconds(100);
constexpr absl::Duration kWriteToSharedAgainAfter = absl::Seconds(2);

// A service manager that does not hear of the daemon is to be found in the log.
void WarnUnlessOk(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

// Whether the part is over. A worker learns whom it works for by now. `role`: null where it shares.
bool IsOver(const Part& part, const StandbyRole* role) {
  if (role != nullptr) return role->IsOver();
  Election& election = part.shared->election();
  const bool leads = election.Leads();
  if (part.coordinates()) return !leads || election.standing().term != part.term;
  const std::optional<v1::Leader> leader = election.standing().leader;
  if (const std::string address = leader ? AddressOf(*leader) : ""; !address.empty()) part.join.Use(address);
  return leads;
}

// Waits for one of the signals, which it returns, or until a coordinator that was not there before refuses
// this host, with its words, or until the part is over: 0. `look` is called on the way.
absl::StatusOr<int> AwaitEnd(const StopSignals& signals, const Node& node, const Part& part,
                             const StandbyRole* role, const std::function<void()>& look) {
  const absl::Duration apart = part.may_change() ? absl::Milliseconds(50) : absl::Milliseconds(500);
  while (!IsOver(part, role)) {
    if (const int signal = signals.Await(apart); signal > 0) return signal;
    HEARTH_RETURN_IF_ERROR(node.Refusal());
    look();
  }
  return 0;
}

// Leaves the port in the file `name` of the runtime directory, which is the state's unless a service manager
// gives one, whole or not at all, for scripts that start the daemon with port 0.
absl::Status WritePortFile(const Config& config, const char* name, const std::string& address) {
  return WriteFile(fs::path(config.runtime_dir) / name, address.substr(address.rfind(':') + 1) + "\n",
                   Replace::kRegularFile);
}

// Where a host that may lead keeps the models of who does.
std::string CopiesFolder(const Config& config) { return config.state_dir + "/model-copies"; }

NodeOptions ToNodeOptions(const Part& part, const LiveKey& key, const std::shared_ptr<StandbyRole>& role,
                          const std::shared_ptr<StateStore>& state) {
  const Config& config = part.config;
  NodeOptions options;
  options.term = part.term;
  options.key = key;
  options.name = config.name;
  options.state_dir = config.state_dir;
  options.cache_dir = config.cache_dir;
  options.copies_dir = CopiesFolder(config);
  options.may_lead = part.may_change();
  options.join = part.join;
  if (part.shares()) {
    options.places_to_lead = [&election = part.shared->election()] {
      return PlacesOf(election.standing().hosts);
    };
  } else {
    options.places_to_lead = [role] { return role->Places(); };
    options.told_file = config.state_dir + "/coordinators";
  }
  options.tensor_listen = config.tensor_listen;
  options.version = HEARTH_VERSION;
  options.network_cards = OwnNetworkCards;
  options.wake = SendMagicPackets;
  options.wake_for_models = config.wake == WakePolicy::kAuto;
  options.kept_hosts = state;
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

// A coordinator's home and what opens it to other machines; nothing on a worker. And who leads it next.
struct HomeFace {
  std::unique_ptr<Home> home;
  std::unique_ptr<CoordinatorLan> lan;
  std::unique_ptr<grpc::Service> service;
  std::shared_ptr<StandbyRole> role;
  std::unique_ptr<grpc::Service> standby;
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
  WarnUnlessOk(face.home->CheckClock());
  face.lan = std::make_unique<CoordinatorLan>(std::move(files), *face.home, config.lan_listen);
  face.service = MakeHomeService(*face.home, *face.lan);
  return face;
}

// What this host does for those that may follow it, or so as to follow one; null where they share a store.
// `node` is there once calls are answered.
absl::StatusOr<std::shared_ptr<StandbyRole>> OpenRole(const Part& part, const LiveKey& key,
                                                      const std::unique_ptr<Node>& node) {
  if (part.shares()) return nullptr;
  StandbyOptions options{part.config.name, part.config.state_dir, std::nullopt, key};
  options.find_model = [copies = ModelCopies(CopiesFolder(part.config))](const std::string& path) {
    return copies.Resolve(path);
  };
  if (!part.config.standby.empty()) {
    absl::StatusOr<Sealer> sealer = Sealer::FromFile(part.config.standby);
    if (!sealer.ok())
      return absl::Status(sealer.status().code(), absl::StrCat("--standby: ", sealer.status().message()));
    options.sealer = *std::move(sealer);
  }
  if (!part.coordinates()) return MakeWorkerRole(std::move(options), part.join);
  v1::Succession succession = part.succession;
  HEARTH_ASSIGN_OR_RETURN(*succession.mutable_home(), HomeIdOf(key.get().authority_pem));
  return MakeCoordinatorRole(std::move(options), std::move(succession),
                             [&node] { return node->model_host()->List(); });
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
  spdlog::warn("requests, loaded models and hosts to wake do not outlive this daemon: {}",
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
                                                    const LiveKey& key, const HomeFace& home,
                                                    StateStore* state) {
  const Config& config = part.config;
  ServerOptions options;
  options.state = state;
  if (part.shares()) {
    options.may_lead = true;
    options.leads = [&election = part.shared->election()] { return election.Leads(); };
    options.kept.write_after = kWriteToSharedAfter;
    options.kept.retry_after = kWriteToSharedAgainAfter;
  } else {
    options.may_lead = !config.standby.empty();
    options.leads = [&role = *home.role] { return role.Leads(); };
  }
  if (!config.models_dir.empty()) {
    // Past what remembers models: the directory has them.
    options.on_demand = {node.model_host(), config.models_dir,
                         config.models_idle_minutes == 0 ? absl::InfiniteDuration()
                                                         : absl::Minutes(config.models_idle_minutes)};
  }
  options.control = node.host_control();
  options.host = config.name;
  options.listen = config.listen;
  options.limits_callers = !IsLoopbackAddress(config.listen);
  options.scheduler.queue = config.queue;
  options.scheduler.token_wait = absl::Milliseconds(config.token_wait_ms);
  options.scheduler.draft_tokens = config.draft_tokens;
  options.scheduler.replan_wait = absl::Seconds(config.replan_wait_seconds);
  options.register_services = [&node, &home](grpc::ServerBuilder& builder) {
    node.RegisterServices(builder);
    for (grpc::Service* const service : {home.service.get(), home.standby.get()}) {
      if (service != nullptr) builder.RegisterService(service);
    }
  };
  if (models == nullptr) return Server::StartForwarding(options, part.join, key);
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

// What renews this host's certificate; a coordinator makes its own, and that of the HTTPS port with it.
Renewal RenewalOf(const Part& part, const LiveKey& key, Home* home, const HttpFace& http) {
  if (home != nullptr) {
    return Renewal(key, [home, &http](absl::Time) {
      HEARTH_RETURN_IF_ERROR(RenewCertificate(*home, http));
      return home->RenewOwn();
    });
  }
  return Renewal(key, [&part, key](absl::Time now) {
    const auto save = [&part](const ConnectionKey& renewed) -> absl::Status {
      if (part.shares()) return absl::OkStatus();  // made anew for each part
      HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(part.config.state_dir));
      return files.SetJoinedHome(renewed);
    };
    return RenewAtCoordinator(part.join.current(), key, save, now);
  });
}

// Where other hosts reach a coordinator, for those that may follow it, or one that waits to lead once it
// does. `lan`: where the latter's encrypted port will listen.
void Announce(const Part& part, const Server& server, const HomeFace& home, const std::string& lan) {
  if (!part.may_change()) return;
  const auto first_of = [](const std::vector<std::string>& addresses) {
    return addresses.empty() ? std::string() : addresses[0];
  };
  v1::Leader place;
  place.set_host(part.config.name);
  place.set_address(first_of(ReachedAt(server.address(), 1)));
  place.set_encrypted_address(home.lan == nullptr ? first_of(ReachedAt(lan, 1)) : home.lan->server());
  if (home.role != nullptr) return home.role->Stand(place);
  part.shared->election().Stand(place);
  if (part.coordinates()) part.shared->election().Announce(place);
}

// Where the encrypted port will listen once this host leads; empty: it does not know, or will not open it.
absl::StatusOr<std::string> LanToBe(const Part& part, const Config& given) {
  if (!part.may_change() || part.coordinates()) return "";
  HEARTH_ASSIGN_OR_RETURN(const IdentityFiles files, IdentityFiles::Open(given.state_dir));
  return CoordinatorLan::ListensAt(files, given.lan || JoinsHome(given), given.lan_listen);
}

// Ports that any free number was asked for keep theirs when the daemon becomes something else.
void KeepPorts(const Server& server, const HttpFace& http, Config& given) {
  given.listen = server.address();
  if (given.http && http.server) given.http = http.server->address();
}

}  // namespace

Config AtHome(Config config, const ConnectionKey& key) {
  if (key.empty()) return config;
  config.join = config.join_others.empty() ? key.server : absl::StrCat(key.server, ",", config.join_others);
  if (config.tensor_listen != Config().tensor_listen || IsLoopbackAddress(key.server)) return config;
  config.tensor_listen = key.server.front() == '[' ? "[::]:0" : "0.0.0.0:0";
  return config;
}

absl::StatusOr<int> Play(const Part& part, const StopSignals& signals, const ServiceManager& manager,
                         bool first, Config& given) {
  const Config& config = part.config;
  HEARTH_ASSIGN_OR_RETURN(HomeFace home, OpenHome(part));
  const LiveKey key = home.home ? home.home->live_key() : LiveKey(part.key);
  std::unique_ptr<Node> node;
  HEARTH_ASSIGN_OR_RETURN(home.role, OpenRole(part, key, node));
  if (home.role != nullptr) home.standby = MakeStandbyService(*home.role);
  const std::shared_ptr<StateStore> state = OpenState(part);
  HEARTH_ASSIGN_OR_RETURN(node, Node::Create(ToNodeOptions(part, key, home.role, state)));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<RememberedModels> remembered,
                          OpenRememberedModels(config, *node, state.get()));
  ModelHost* const served = remembered ? remembered.get() : node->model_host();
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                          StartServer(part, *node, served, key, home, state.get()));
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
  HEARTH_ASSIGN_OR_RETURN(const std::string lan, LanToBe(part, given));
  Announce(part, *server, home, lan);
  HEARTH_RETURN_IF_ERROR(node->AwaitAccepted());
  if (part.coordinates()) {
    for (const std::string& path : config.models) {
      const ModelSource source{
          .name = config.model_name, .path = path, .draft = config.draft_model, .adapters = config.lora};
      HEARTH_RETURN_IF_ERROR(node->model_host()->Load(source).status());
    }
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
    Renewal renewal = RenewalOf(part, key, home.home.get(), http);
    const Repeater renewals(kRenewalsApart, [&renewal] { renewal.Look(absl::Now()); });
    HEARTH_ASSIGN_OR_RETURN(
        signal, AwaitEnd(signals, *node, part, home.role.get(), [&] { Announce(part, *server, home, lan); }));
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

}  // namespace hearth
