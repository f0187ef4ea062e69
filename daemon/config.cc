#include "daemon/config.h"

#include <arpa/inet.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "daemon/etcd/etcd_address.h"
#include "daemon/identity/join_code.h"
#include "daemon/lora_flag.h"
#include "daemon/objective_flag.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/command_line/flags.h"

namespace hearth {
namespace {

constexpr char kDescription[] =
    "hearthd lets the computers of a home run one large language model together.\n\n"
    "Examples:\n"
    "  hearthd --model ~/models/demo.gguf\n"
    "      one machine alone; then: hearth generate 'Once upon a time'\n"
    "  hearthd --join CODE\n"
    "      on a second machine, with a code of `hearth invite`: it helps the first, encrypted\n"
    "  hearthd --model m.gguf --device a,memory=4GiB,threads=4 --device b,memory=2GiB,threads=2\n"
    "      offers parts of this machine as devices of their own";

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 20;  // of settings

constexpr char kFooter[] =
    "Every flag but --help, --version and --config may be a key of the file that --config names, without its "
    "dashes:\n"
    "  listen = \"127.0.0.1:7770\"\n"
    "  model = [\"/models/demo.gguf\"]\n"
    "  slots = 4";

// What the command line says beyond Config itself.
struct Flags {
  std::string config_file;
  bool version = false;
  std::vector<std::string> devices;
  std::string cache_size;
  std::string sparsity;
  std::vector<std::string> yield_hours;
};

// Those of hosts of which each may lead.
void AddSharing(CLI::App& app, Config& config) {
  constexpr char kSharing[] = "Hosts that may lead";
  app.add_option(
         "--state-store", config.state_store,
         "etcd where hosts keep what a coordinator knows: of those that name the same one leads, the others "
         "are its workers, and one of them leads when it dies")
      ->type_name("etcd://HOST:PORT,...[/PREFIX]")
      ->group(kSharing);
  app.add_option("--state-store-secret", config.state_store_secret,
                 "File, the same on these hosts, with what the state is encrypted with: openssl rand -hex 32")
      ->type_name("FILE")
      ->group(kSharing);
  app.add_option("--state-store-ca", config.state_store_ca,
                 "PEM file with the authority of etcd's certificates; default: it does not encrypt")
      ->type_name("FILE")
      ->group(kSharing);
  app.add_option("--state-store-cert", config.state_store_cert,
                 "PEM file with this host's certificate, where etcd asks for one")
      ->type_name("FILE")
      ->group(kSharing);
  app.add_option("--state-store-key", config.state_store_key,
                 "PEM file with the private key of --state-store-cert")
      ->type_name("FILE")
      ->group(kSharing);
  AddWholeNumber(app, "--state-store-lease", config.state_store_lease_seconds,
                 "Seconds after which another host leads where a coordinator is not heard of", 2u, 600u)
      ->type_name("SECONDS")
      ->group(kSharing);
  app.add_option(
         "--standby", config.standby,
         "Without --state-store: file, the same on the coordinator and on workers that may take its place by "
         "`hearth promote`, with what its keys are encrypted with there: openssl rand -hex 32")
      ->type_name("FILE")
      ->group(kSharing);
}

// Binds the flags to `config` and `flags`; only flags that are given change anything.
void AddFlags(CLI::App& app, Config& config, Flags& flags) {
  const std::map<std::string, Arithmetic> arithmetics = {{"fast", Arithmetic::kFast},
                                                         {"float32", Arithmetic::kFloat32}};
  const std::map<std::string, KvType> kv_types = {
      {"f32", KvType::kF32}, {"f16", KvType::kF16}, {"q8_0", KvType::kQ8_0}};
  const std::map<std::string, YieldMode> yield_modes = {
      {"auto", YieldMode::kAuto}, {"on", YieldMode::kOn}, {"off", YieldMode::kOff}};
  const std::map<std::string, WakePolicy> wake_policies = {{"auto", WakePolicy::kAuto},
                                                           {"off", WakePolicy::kOff}};
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.add_flag("--version", flags.version, "Print the version and exit");
  app.add_option("--config", flags.config_file, "TOML file with settings; flags win over it")
      ->type_name("FILE");

  constexpr char kNetwork[] = "Network";
  app.add_option("--listen", config.listen, "Where clients and workers connect; port 0 takes any free one")
      ->type_name("HOST:PORT")
      ->capture_default_str()
      ->group(kNetwork);
  app.add_option_function<std::string>(
         "--http",
         [&config](const std::string& address) { config.http = address.empty() ? kHttpOff : address; },
         "Where browsers find the dashboard and OpenAI's clients connect, and /health and /metrics are; off: "
         "nowhere; default: " +
             std::string(kDefaultHttp) +
             " where it is free. Addresses of other machines: HTTPS, and a key is asked for (`hearth key "
             "create "
             "--api NAME`)")
      ->expected(0, 1)
      ->type_name("HOST:PORT")
      ->group(kNetwork);
  app.add_option(
         "--http-allow-origin", config.http_allow_origins,
         "Web pages that may use it from a browser: https://HOST[:PORT], or * for all; may be repeated")
      ->allow_extra_args(false)
      ->type_name("ORIGIN")
      ->group(kNetwork);
  app.add_option(
         "--http-certificate", config.http_certificate,
         "PEM file with the certificates for HTTPS, the server's first; default: one of the home's own "
         "authority, where other machines reach --http")
      ->type_name("FILE")
      ->group(kNetwork);
  app.add_option("--http-key", config.http_key, "PEM file with the private key of --http-certificate")
      ->type_name("FILE")
      ->group(kNetwork);
  app.add_flag("--http-behind-proxy", config.http_behind_proxy,
               "Speak plain HTTP to a reverse proxy that speaks HTTPS; keys are asked for, on loopback too")
      ->group(kNetwork);
  app.add_option_function<std::string>(
         "--join", [&config](const std::string& join) { config.join = join.empty() ? kJoinLan : join; },
         "Be a worker: of the home that made this code (`hearth invite`), of the coordinator at this "
         "address or at one of several, or without either of the home joined before, else of one on the "
         "local network (\"lan\") where its user types `hearth approve` and the digits that this machine "
         "shows; a "
         "code, \"lan\" or \"home\", which asks nobody, may have the encrypted addresses of other hosts that "
         "may lead behind it, with commas; a worker is told those by its coordinator too")
      ->expected(0, 1)
      ->type_name("[CODE|lan[:HOST:PORT]|home|HOST:PORT,...]")
      ->group(kNetwork);
  app.add_option_function<std::string>(
         "--lan",
         [&config](const std::string& listen) {
           config.lan = true;
           config.lan_listen = listen;
         },
         "Be open to those who belong to the home, encrypted, here and at the next port; default: when "
         "`hearth invite` asks for it, at 0.0.0.0:7771")
      ->expected(0, 1)
      ->type_name("[HOST:PORT]")
      ->group(kNetwork);
  app.add_option("--tensor-listen", config.tensor_listen,
                 "Where a worker takes activations from its coordinator")
      ->type_name("HOST:PORT")
      ->capture_default_str()
      ->group(kNetwork);
  app.add_flag(
         "--insecure-network", config.insecure_network,
         "Allow addresses of other machines: nothing is encrypted and whoever reaches the port may use it")
      ->group(kNetwork);
  app.add_option("--name", config.name, "Name of this host in the cluster; default: the machine's name")
      ->group(kNetwork);

  AddSharing(app, config);

  constexpr char kModels[] = "Models";
  app.add_option("--model", config.models, "GGUF or PowerInfer file to load at the start; may be repeated")
      ->allow_extra_args(false)
      ->type_name("FILE")
      ->group(kModels);
  app.add_option("--model-name", config.model_name, "What clients call it; default: the file's name")
      ->group(kModels);
  app.add_option("--draft-model", config.draft_model,
                 "Smaller model with the same vocabulary that guesses what the texts of --model go on with, "
                 "where that makes them faster; the text is the same")
      ->type_name("FILE")
      ->group(kModels);
  AddLora(app, config.lora,
          "LoRA adapter (GGUF) that changes the model, S times as strong as it was trained; may be repeated; "
          "for a "
          "single --model")
      ->group(kModels);
  app.add_option("--models-dir", config.models_dir,
                 "Directory of GGUF files: one is loaded when a request names it, and gives way to others "
                 "when memory "
                 "is short")
      ->type_name("DIR")
      ->group(kModels);
  AddWholeNumber(app, "--models-idle", config.models_idle_minutes,
                 "Minutes without requests after which such a model is unloaded; 0: never", 0u, 525600u)
      ->type_name("MINUTES")
      ->group(kModels);
  app.add_flag("--remember-models", config.remember_models,
               "Load again at the start what clients had loaded (`hearth load`) and not unloaded")
      ->group(kModels);
  AddWholeNumber<uint32_t>(
      app, "--context", [&config](uint32_t tokens) { config.context = tokens; },
      "Most tokens of one sequence, prompt and output together; default: what the model was made for, or as "
      "many as memory has room for",
      2u, 1u << 24)
      ->group(kModels);
  app.add_option("--kv-type", config.kv_type, "How attention remembers: f32, f16 or q8_0; default: f16")
      ->transform(CLI::CheckedTransformer(kv_types).description(""))
      ->group(kModels);
  app.add_option("--arithmetic", config.arithmetic,
                 "fast: quantised weights multiply 8-bit activations; float32: activations are not rounded, "
                 "slower; default: fast")
      ->transform(CLI::CheckedTransformer(arithmetics).description(""))
      ->group(kModels);
  app.add_option("--sparsity", flags.sparsity,
                 "auto (predicted with predictors, exact for other ReLU models, else dense), dense, exact "
                 "(skips neurons "
                 "that cannot fire) or predicted (with the model's predictors)")
      ->check(CLI::IsMember({"auto", "dense", "exact", "predicted"}).description(""))
      ->group(kModels);

  AddObjective(app, config.objective)->group(kModels);

  constexpr char kDevices[] = "Devices and requests";
  app.add_option(
         "--device", flags.devices,
         "Device to offer: NAME,memory=4GiB,kind=cpu,threads=2 or NAME,kind=gpu,number=0,memory=6GiB or "
         "NAME,kind=disk,memory=1GiB, where neurons of packed models stay that memory does not hold; may be "
         "repeated; "
         "default: all processors")
      ->allow_extra_args(false)
      ->type_name("SPEC")
      ->group(kDevices);
  AddWholeNumber<uint32_t>(
      app, "--threads", [&config](uint32_t threads) { config.threads = threads; },
      "Threads that compute, 0 or default: one per core", 0,
      static_cast<uint32_t>(ThreadPool::AvailableCores()))
      ->group(kDevices);
  AddWholeNumber<uint32_t>(
      app, "--slots", [&config](uint32_t slots) { config.slots = slots; },
      "Sequences generated at the same time; default: up to 8, as memory has room for", 1u, 256u)
      ->group(kDevices);
  AddWholeNumber(app, "--queue", config.queue, "Requests that may wait for a slot", 0u, 1u << 20)
      ->group(kDevices);
  AddWholeNumber(
      app, "--token-wait", config.token_wait_ms,
      "Milliseconds that those who generate wait at most for a token while others' prompts are read", 1u,
      60'000u)
      ->type_name("MILLISECONDS")
      ->group(kDevices);
  AddWholeNumber(app, "--draft-tokens", config.draft_tokens,
                 "Tokens that are guessed and computed ahead at most, where a text repeats itself or another "
                 "model guesses (--draft-model), and that makes it faster; the text is the same. 0: none",
                 0u, 32u)
      ->group(kDevices);
  AddWholeNumber(app, "--replan-wait", config.replan_wait_seconds,
                 "Seconds that requests wait for the other hosts to take over when a host is lost", 0u,
                 86400u)
      ->type_name("SECONDS")
      ->group(kDevices);
  app.add_option(
         "--yield", config.yield.mode,
         "Whether this machine gives its share to the others while its owner plays, works, or runs it on "
         "battery or with a closed lid: on, off or auto (where there is a display); default: auto")
      ->transform(CLI::CheckedTransformer(yield_modes).description(""))
      ->group(kDevices);
  app.add_option("--yield-hours", flags.yield_hours,
                 "Hours of the day in which it does in any case: 18:00-23:30; may be repeated")
      ->allow_extra_args(false)
      ->type_name("HH:MM-HH:MM")
      ->group(kDevices);
  AddWholeNumber<uint32_t>(
      app, "--yield-quiet", [&config](uint32_t seconds) { config.yield.quiet = absl::Seconds(seconds); },
      "Seconds without other programs at work before it takes part again; default: 60", 1u, 86400u)
      ->type_name("SECONDS")
      ->group(kDevices);
  app.add_option("--wake", config.wake,
                 "Whether a coordinator wakes machines that sleep (Wake-on-LAN) when a model does not fit "
                 "without them: auto or off; default: auto")
      ->transform(CLI::CheckedTransformer(wake_policies).description(""))
      ->group(kDevices);
  app.add_flag("--use-every-host", config.use_every_host,
               "Give every host a share, even where that is slower")
      ->group(kDevices);
  AddWholeNumber(app, "--stages", config.stages,
                 "Hosts that lead consecutive layers each, in place of sharing every layer", 1u, 256u)
      ->group(kDevices);
  app.add_flag("--keep-attention", config.keep_attention,
               "Give other hosts neurons only: one that is lost then costs no context")
      ->group(kDevices);

  constexpr char kRunning[] = "Running";
  app.add_option("--state-dir", config.state_dir,
                 "Directory of this daemon; default: a service manager's, or ~/.local/state/hearth")
      ->type_name("DIR")
      ->group(kRunning);
  app.add_option("--cache-size", flags.cache_size,
                 "Most disk space for weights fetched from the coordinator; default: half of what is free")
      ->type_name("BYTES")
      ->group(kRunning);
  app.add_option("--log-level", config.log_level, "trace, debug, info, warning, error or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}).description(""))
      ->capture_default_str()
      ->group(kRunning);
  app.add_option("--log-format", config.log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}).description(""))
      ->capture_default_str()
      ->group(kRunning);
}

absl::Status OfFlag(const char* flag, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

absl::Status ApplyFlags(const Flags& flags, Config& config) {
  if (!flags.devices.empty()) {
    config.devices.clear();
    for (const std::string& text : flags.devices) {
      absl::StatusOr<DeviceOption> parsed = ParseDeviceOption(text);
      if (!parsed.ok()) return OfFlag("--device", parsed.status());
      DeviceOption device = *std::move(parsed);
      if (const int cores = ThreadPool::AvailableCores(); device.threads.value_or(0) > cores) {
        return absl::InvalidArgumentError(absl::StrCat("--device: ", device.name, " has ", *device.threads,
                                                       " threads; this machine offers ", cores));
      }
      for (const DeviceOption& other : config.devices) {
        if (other.name == device.name) {
          return absl::InvalidArgumentError(
              absl::StrCat("--device: two devices are called '", device.name, "'"));
        }
      }
      config.devices.push_back(std::move(device));
    }
  }
  if (!flags.cache_size.empty()) {
    const absl::StatusOr<uint64_t> bytes = ParseByteCount(flags.cache_size);
    if (!bytes.ok()) return OfFlag("--cache-size", bytes.status());
    config.cache_bytes = *bytes;
  }
  if (!flags.yield_hours.empty()) {
    config.yield.hours.clear();
    for (const std::string& text : flags.yield_hours) {
      const absl::StatusOr<DayHours> hours = ParseDayHours(text);
      if (!hours.ok()) return OfFlag("--yield-hours", hours.status());
      config.yield.hours.push_back(*hours);
    }
  }
  if (flags.sparsity == "auto") config.sparsity.reset();
  for (SparsityMode mode : {SparsityMode::kDense, SparsityMode::kExact, SparsityMode::kPredicted}) {
    if (flags.sparsity == SparsityModeName(mode)) config.sparsity = mode;
  }
  return absl::OkStatus();
}

// Parses `arguments` on top of `config`. A message is returned for --help and --version.
absl::StatusOr<std::string> ParseFlags(std::vector<std::string> arguments, Config& config, Flags& flags) {
  CLI::App app(kDescription, "hearthd");
  app.footer(kFooter);
  AddFlags(app, config, flags);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    return app.help();
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; see hearthd --help"));
  }
  if (flags.version) return std::string("hearthd " HEARTH_VERSION "\n");
  HEARTH_RETURN_IF_ERROR(ApplyFlags(flags, config));
  return std::string();
}

// The values of a key, as a flag would have them.
absl::StatusOr<std::vector<std::string>> FlagValues(const toml::node& node) {
  if (const auto* array = node.as_array()) {
    std::vector<std::string> values;
    for (const toml::node& element : *array) {
      if (element.is_array()) return absl::InvalidArgumentError("lists within lists are not allowed");
      HEARTH_ASSIGN_OR_RETURN(const auto value, FlagValues(element));
      values.insert(values.end(), value.begin(), value.end());
    }
    return values;
  }
  if (const auto text = node.value_exact<std::string>()) return std::vector<std::string>{*text};
  if (const auto number = node.value_exact<int64_t>()) return std::vector<std::string>{absl::StrCat(*number)};
  if (const auto truth = node.value_exact<bool>()) return std::vector<std::string>{*truth ? "true" : "false"};
  return absl::InvalidArgumentError("a text, a whole number, true, false or a list of them is wanted");
}

absl::Status ApplyKey(std::string_view key, const toml::node& node, Config& config) {
  constexpr std::array<std::string_view, 4> kNotInFiles = {"config", "help", "version", "h"};
  if (std::find(kNotInFiles.begin(), kNotInFiles.end(), key) != kNotInFiles.end() || key.starts_with('-')) {
    return absl::InvalidArgumentError("is a flag only");
  }
  HEARTH_ASSIGN_OR_RETURN(const std::vector<std::string> values, FlagValues(node));
  std::vector<std::string> arguments;
  for (const std::string& value : values) arguments.push_back("--" + std::string(key) + "=" + value);
  Flags flags;
  return ParseFlags(std::move(arguments), config, flags).status();
}

// A file's keys are flags: each is parsed the way its flag is.
absl::Status ApplyFile(const std::string& path, Config& config) {
  const absl::StatusOr<std::string> text = ReadInputFile(path, kMaxFileBytes);
  if (!text.ok())
    return absl::Status(text.status().code(), absl::StrCat("--config: ", text.status().message()));
  toml::table table;
  try {
    table = toml::parse(*text, path);
  } catch (const toml::parse_error& error) {
    const std::string what(error.description());
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.source().begin.line, ": ", what));
  }
  for (const auto& [key, node] : table) {
    if (absl::Status status = ApplyKey(key.str(), node, config); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ":", node.source().begin.line, ": ",
                                                     std::string(key.str()), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAddressOf(const char* flag, const std::string& address, int lowest_port) {
  const absl::Status status = CheckAddress(address, lowest_port);
  return status.ok() ? status : OfFlag(flag, status);
}

std::string HttpAddress(const Config& config) { return config.http.value_or(kDefaultHttp); }

absl::Status CheckHttpGuard(const Config& config) {
  if (config.http_certificate.empty() != config.http_key.empty()) {
    return absl::InvalidArgumentError(
        "--http-certificate and --http-key: one needs the other; give both files");
  }
  if (config.http_certificate.empty() && !HttpGuardOf(config).keys) return absl::OkStatus();
  if (config.http_behind_proxy && !config.http_certificate.empty()) {
    return absl::InvalidArgumentError(
        "--http-behind-proxy: the proxy has the certificate; leave --http-certificate and --http-key out");
  }
  if (config.join.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--http: ", HttpAddress(config),
      " would ask for keys, which are the coordinator's: give --http and what belongs to it there, or "
      "add --insecure-network if everyone on the network may use it"));
}

absl::Status CheckHttp(const Config& config) {
  if (config.http && *config.http != kHttpOff) {
    HEARTH_RETURN_IF_ERROR(CheckAddressOf("--http", *config.http, 0));
  }
  HEARTH_RETURN_IF_ERROR(CheckHttpGuard(config));
  for (const std::string& origin : config.http_allow_origins) {
    const size_t host = origin.find("://");
    const bool sound = host != std::string::npos && host > 0 && host + 3 < origin.size() &&
                       origin.find_first_of("/ ", host + 3) == std::string::npos &&
                       Printable(origin, origin.size()) == origin;
    if (origin == "*" || sound) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--http-allow-origin: \"", Printable(origin),
                     "\" is no origin; write https://HOST or https://HOST:PORT"));
  }
  return absl::OkStatus();
}

// Whether only this machine can reach any of them.
bool AreLoopbackAddresses(const std::vector<std::string>& addresses) {
  return std::all_of(addresses.begin(), addresses.end(),
                     [](const std::string& address) { return IsLoopbackAddress(address); });
}

std::vector<std::string> AddressesToJoin(const Config& config) { return absl::StrSplit(config.join, ','); }

// Whether it says by which home a worker is to be had, or how.
bool IsHome(const std::string& join) {
  return join == kJoinHome || join == kJoinLan || absl::StartsWith(join, kJoinLanAt) ||
         LooksLikeJoinCode(join);
}

// What stands behind a code or the home is other addresses of it.
void SplitJoin(Config& config) {
  const size_t comma = config.join.find(',');
  const std::string first = config.join.substr(0, comma);
  if (comma == std::string::npos || comma + 1 == config.join.size() || !IsHome(first)) return;
  config.join_others = config.join.substr(comma + 1);
  config.join = first;
}

absl::Status CheckAddressesToJoin(const std::vector<std::string>& addresses) {
  constexpr size_t kMost = 16;
  if (addresses.size() > kMost)
    return absl::InvalidArgumentError(absl::StrCat("--join: more than ", kMost, " addresses"));
  for (const std::string& address : addresses) HEARTH_RETURN_IF_ERROR(CheckAddressOf("--join", address, 1));
  return absl::OkStatus();
}

absl::Status CheckJoin(const Config& config) {
  const std::vector<std::string> addresses = AddressesToJoin(config);
  HEARTH_RETURN_IF_ERROR(CheckAddressesToJoin(addresses));
  for (const std::string& address : addresses) {
    if (address != config.listen) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--join: ", address, " is this host's own --listen address"));
  }
  return absl::OkStatus();
}

// By their flags; empty where they are not given.
std::array<std::pair<const char*, std::string>, 4> StateStoreFiles(const Config& config) {
  return {{{"--state-store-secret", config.state_store_secret},
           {"--state-store-ca", config.state_store_ca},
           {"--state-store-cert", config.state_store_cert},
           {"--state-store-key", config.state_store_key}}};
}

absl::Status CheckStateStore(const Config& config) {
  if (!config.standby.empty() && !config.state_store.empty()) {
    return absl::InvalidArgumentError(
        "--standby: hosts that share a --state-store elect their coordinator; leave it out");
  }
  if (config.state_store.empty()) {
    for (const auto& [flag, path] : StateStoreFiles(config)) {
      if (!path.empty()) return absl::InvalidArgumentError(absl::StrCat(flag, ": needs --state-store"));
    }
    return absl::OkStatus();
  }
  const absl::StatusOr<EtcdAddress> address = ParseEtcdAddress(config.state_store);
  if (!address.ok()) return OfFlag("--state-store", address.status());
  if (!config.join.empty()) {
    return absl::InvalidArgumentError(
        "--state-store: a host that only works needs --join alone, one that may lead needs no --join");
  }
  if (config.state_store_secret.empty()) {
    return absl::InvalidArgumentError(
        "--state-store: keys and texts of users are kept there encrypted, so --state-store-secret is needed: "
        "make a file with `openssl rand -hex 32` and copy it to each host that may lead");
  }
  if (config.state_store_cert.empty() != config.state_store_key.empty()) {
    return absl::InvalidArgumentError(
        "--state-store-cert and --state-store-key: one needs the other; give both files");
  }
  if (!config.state_store_ca.empty() || config.insecure_network || AreLoopbackAddresses(address->endpoints))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--state-store: etcd on another machine needs TLS: give --state-store-ca, or add --insecure-network if "
      "everyone on the network may use it");
}

// That what is neither encrypted nor checked stays on this machine; `plain`: the worker's connections are.
absl::Status CheckLocal(const Config& config, bool plain) {
  std::vector<std::pair<const char*, std::string>> addresses = {
      {"--listen", config.listen}, {"--tensor-listen", plain ? config.tensor_listen : ""}};
  if (plain) {
    for (const std::string& address : AddressesToJoin(config)) addresses.emplace_back("--join", address);
  }
  for (const auto& [flag, address] : addresses) {
    if (config.insecure_network || address.empty() || IsLoopbackAddress(address)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        flag, ": ", address,
        " can be reached from other machines, and connections are neither encrypted nor checked; use a "
        "loopback address such as 127.0.0.1:7770 and join with a code of `hearth invite`, or add "
        "--insecure-network if everyone on the network may use it"));
  }
  return absl::OkStatus();
}

absl::Status CheckNetwork(const Config& config) {
  HEARTH_RETURN_IF_ERROR(CheckHttp(config));
  HEARTH_RETURN_IF_ERROR(CheckAddressOf("--listen", config.listen, 0));
  HEARTH_RETURN_IF_ERROR(CheckAddressOf("--tensor-listen", config.tensor_listen, 0));
  if (!config.lan_listen.empty()) HEARTH_RETURN_IF_ERROR(CheckAddressOf("--lan", config.lan_listen, 0));
  if (config.lan && !config.join.empty() && config.standby.empty()) {
    return absl::InvalidArgumentError("--lan: a worker is reached through its coordinator; give --lan there");
  }
  if (JoinsHome(config)) {
    if (absl::StartsWith(config.join, kJoinLanAt))
      HEARTH_RETURN_IF_ERROR(CheckAddressesToJoin({config.join.substr(sizeof(kJoinLanAt) - 1)}));
    if (!config.join_others.empty())
      HEARTH_RETURN_IF_ERROR(CheckAddressesToJoin(absl::StrSplit(config.join_others, ',')));
    return CheckLocal(config, false);
  }
  if (!config.join.empty()) HEARTH_RETURN_IF_ERROR(CheckJoin(config));
  HEARTH_RETURN_IF_ERROR(CheckLocal(config, true));
  if (!config.join.empty() && !AreLoopbackAddresses(AddressesToJoin(config)) &&
      IsLoopbackAddress(config.tensor_listen)) {
    return absl::InvalidArgumentError(absl::StrCat("--tensor-listen: the coordinator ", config.join,
                                                   " cannot reach ", config.tensor_listen,
                                                   "; give an address of this host, such as 192.168.1.11:0"));
  }
  return absl::OkStatus();
}

absl::Status CheckModels(const Config& config) {
  if (!config.join.empty() && !config.models.empty()) {
    return absl::InvalidArgumentError(
        "--model: a worker gets its weights from the coordinator; give --model there");
  }
  if (!config.join.empty() && !config.models_dir.empty()) {
    return absl::InvalidArgumentError(
        "--models-dir: a worker gets its weights from the coordinator; give --models-dir there");
  }
  if (!config.model_name.empty() && config.models.size() != 1) {
    return absl::InvalidArgumentError("--model-name: needs exactly one --model");
  }
  if (!config.draft_model.empty() && config.models.size() != 1) {
    return absl::InvalidArgumentError("--draft-model: needs exactly one --model, for which it guesses");
  }
  if (!config.lora.empty() && config.models.size() != 1) {
    return absl::InvalidArgumentError("--lora: needs exactly one --model, which it changes");
  }
  return absl::OkStatus();
}

absl::Status CheckTexts(const Config& config) {
  HEARTH_RETURN_IF_ERROR(CheckName("--name", config.name));
  if (!config.model_name.empty()) HEARTH_RETURN_IF_ERROR(CheckName("--model-name", config.model_name));
  for (const std::string& path : config.models) HEARTH_RETURN_IF_ERROR(CheckPath("--model", path));
  if (!config.draft_model.empty()) HEARTH_RETURN_IF_ERROR(CheckPath("--draft-model", config.draft_model));
  for (const AdapterSource& lora : config.lora) HEARTH_RETURN_IF_ERROR(CheckPath("--lora", lora.path));
  if (!config.models_dir.empty()) HEARTH_RETURN_IF_ERROR(CheckPath("--models-dir", config.models_dir));
  if (!config.http_certificate.empty()) {
    HEARTH_RETURN_IF_ERROR(CheckPath("--http-certificate", config.http_certificate));
    HEARTH_RETURN_IF_ERROR(CheckPath("--http-key", config.http_key));
  }
  for (const auto& [flag, path] : StateStoreFiles(config)) {
    if (!path.empty()) HEARTH_RETURN_IF_ERROR(CheckPath(flag, path));
  }
  if (!config.standby.empty()) HEARTH_RETURN_IF_ERROR(CheckPath("--standby", config.standby));
  return CheckPath("--state-dir", config.state_dir);
}

// The directory that a service manager gives this program in `variable`, the first one of several; "" for
// none.
std::string ServiceDirectory(const char* variable) {
  const char* const directories = std::getenv(variable);
  if (directories == nullptr || *directories != '/') return "";
  return std::string(directories, std::strcspn(directories, ":"));
}

std::string Or(const std::string& directory, const std::string& otherwise) {
  return directory.empty() ? otherwise : directory;
}

absl::Status FillDirectories(Config& config) {
  if (!config.state_dir.empty()) {
    // Whoever names a directory finds everything in it.
  } else if (const std::string state = ServiceDirectory("STATE_DIRECTORY"); !state.empty()) {
    config.state_dir = state;
    config.cache_dir = ServiceDirectory("CACHE_DIRECTORY");
    config.runtime_dir = ServiceDirectory("RUNTIME_DIRECTORY");
  } else if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg != nullptr && *xdg == '/') {
    config.state_dir = absl::StrCat(xdg, "/hearth");
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    config.state_dir = absl::StrCat(home, "/.local/state/hearth");
  } else {
    return absl::InvalidArgumentError("--state-dir: there is no home directory to choose one in; give one");
  }
  config.cache_dir = Or(config.cache_dir, config.state_dir + "/cache");
  config.runtime_dir = Or(config.runtime_dir, config.state_dir);
  return absl::OkStatus();
}

absl::Status FillDefaults(Config& config) {
  if (config.name.empty()) {
    std::array<char, 256> host{};
    if (gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') {
      return absl::InvalidArgumentError("--name: this machine has no name; give one");
    }
    config.name = host.data();
  }
  if (!config.state_store.empty()) {
    // What clients have loaded is the cluster's, whoever leads it; and others are to reach whoever leads.
    config.remember_models = true;
    HEARTH_ASSIGN_OR_RETURN(const EtcdAddress address, ParseEtcdAddress(config.state_store));
    config.lan |= !AreLoopbackAddresses(address.endpoints) && !config.insecure_network;
  }
  config.remember_models |= !config.standby.empty();  // likewise
  return FillDirectories(config);
}

}  // namespace

absl::StatusOr<ParsedConfig> ParseConfig(absl::Span<const std::string> arguments) {
  const std::vector<std::string> flag_list(arguments.begin(), arguments.end());
  ParsedConfig parsed;
  Flags flags;
  HEARTH_ASSIGN_OR_RETURN(parsed.message, ParseFlags(flag_list, parsed.config, flags));
  if (!parsed.message.empty()) return parsed;
  if (!flags.config_file.empty()) {
    // The file goes first, then the flags once more on top of it.
    parsed.config = Config();
    HEARTH_RETURN_IF_ERROR(ApplyFile(flags.config_file, parsed.config));
    Flags again;
    HEARTH_RETURN_IF_ERROR(ParseFlags(flag_list, parsed.config, again).status());
  }
  SplitJoin(parsed.config);
  HEARTH_RETURN_IF_ERROR(CheckNetwork(parsed.config));
  HEARTH_RETURN_IF_ERROR(CheckStateStore(parsed.config));
  HEARTH_RETURN_IF_ERROR(CheckModels(parsed.config));
  HEARTH_RETURN_IF_ERROR(FillDefaults(parsed.config));
  HEARTH_RETURN_IF_ERROR(CheckTexts(parsed.config));
  return parsed;
}

HttpGuard HttpGuardOf(const Config& config) {
  const std::string address = HttpAddress(config);
  if (address == kHttpOff) return {};
  const bool reached = !config.insecure_network && !IsLoopbackAddress(address);
  HttpGuard guard;
  guard.tls = !config.http_certificate.empty() || (reached && !config.http_behind_proxy);
  guard.keys = guard.tls || config.http_behind_proxy;
  return guard;
}

bool JoinsHome(const Config& config) { return IsHome(config.join); }

bool IsLoopbackAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (address.find(':') == colon || address.front() == '[');
  std::string_view host = has_port ? address.substr(0, colon) : address;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host == "::1") return true;
  // Only a full dotted quad: "127.example.org" is a name that may lead anywhere.
  in_addr quad;
  return host.starts_with("127.") && inet_pton(AF_INET, std::string(host).c_str(), &quad) == 1;
}

}  // namespace hearth
