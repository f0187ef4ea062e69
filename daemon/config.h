#ifndef HEARTH_DAEMON_CONFIG_H_
#define HEARTH_DAEMON_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/capacity/device_option.h"
#include "daemon/capacity/yielding.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/weights/adapter_file.h"
#include "placement/objective.h"

namespace hearth {

inline constexpr char kDefaultHttp[] = "127.0.0.1:7780";
inline constexpr char kHttpOff[] = "off";
inline constexpr char kJoinHome[] = "home";
inline constexpr char kJoinLan[] = "lan";
inline constexpr char kJoinLanAt[] = "lan:";  // HOST:PORT behind it

// Whether a coordinator wakes hosts without being told to.
enum class WakePolicy { kAuto, kOff };

// Everything hearthd can be told, by flags or by a TOML file whose keys are the long names of the flags. A
// flag wins over the file, the file over the default.
struct Config {
  // Clients and workers.
  std::string listen = "127.0.0.1:7770";      // HOST:PORT of the gRPC port; port 0 takes any free one
  std::string tensor_listen = "127.0.0.1:0";  // HOST:PORT of the tensor channel
  // HOST:PORT for OpenAI's clients; "off": none; nullopt: kDefaultHttp, or none where another program has it.
  std::optional<std::string> http;
  std::vector<std::string> http_allow_origins;  // of web pages that may use it; "*": all
  std::string http_certificate;    // PEM file, with http_key; empty: the home's own where one is needed
  std::string http_key;            // PEM file
  bool http_behind_proxy = false;  // which encrypts
  bool insecure_network = false;   // allows addresses that other machines can reach
  // HOST:PORT of the coordinator, or of each host that may be it, with commas between them; a code of `hearth
  // invite`; kJoinHome for the home that this host has joined before; kJoinLan the same, or where there is
  // none the one on the local network, kJoinLanAt one that takes new hosts at HOST:PORT, whose user approves
  // this host. Empty: this host is the coordinator.
  std::string join;
  // Of a worker that joins by a code or its home: HOST:PORT of the encrypted port of each other host that may
  // be the coordinator, with commas between them.
  std::string join_others;
  bool lan = false;        // opens the encrypted ports at the start
  std::string lan_listen;  // HOST:PORT of the first; empty: where it was last, or the default
  std::string name;        // of this host, unique in the cluster
  // Identity and home; for one daemon at a time. Without --state-dir the three are a service manager's, where
  // it gives them (STATE_DIRECTORY and so on), else below ~/.local/state/hearth.
  std::string state_dir;
  std::string cache_dir;     // of weights fetched from the coordinator
  std::string runtime_dir;   // of the port files, which mean nothing once the daemon has ended
  uint64_t cache_bytes = 0;  // of fetched weights; 0: half of the free disk

  // State that this host shares with others that may lead the cluster in its place: etcd://..., empty: none.
  std::string state_store;
  std::string state_store_secret;  // file with what the state is encrypted with
  std::string state_store_ca;      // PEM file of etcd's authority; empty: etcd does not encrypt
  std::string state_store_cert;    // PEM file, with state_store_key: this host's, where etcd asks for one
  std::string state_store_key;     // PEM file
  uint32_t state_store_lease_seconds = 2;  // for how long nobody follows a coordinator that died

  // Without such a store: file with what the state is encrypted with that this host gives to its standbys, or
  // has of its coordinator as one; empty: neither.
  std::string standby;

  // Models that are loaded at the start.
  std::vector<std::string> models;    // paths
  std::string model_name;             // what clients call it; for a single model only
  std::vector<AdapterSource> lora;    // that change it; likewise
  std::string models_dir;             // of models that are loaded when a request names them; empty: none
  uint32_t models_idle_minutes = 30;  // without requests, after which such a model is unloaded; 0: never
  bool remember_models = false;       // loads what clients had loaded before as well; a worker has none
  std::optional<uint32_t>
      context;  // positions per sequence, at most what it was made for; nullopt: what fits
  KvType kv_type = KvType::kF16;
  Arithmetic arithmetic = Arithmetic::kFast;
  std::optional<SparsityMode> sparsity;  // nullopt: the best that the file allows
  placement::Objective objective;        // of plans, of models that are loaded without one of their own

  // Devices and requests.
  std::vector<DeviceOption> devices;  // empty: all that the host has
  uint32_t threads = 0;               // 0: one per core
  std::optional<uint32_t> slots;      // sequences generated at the same time; nullopt: up to 8, as fit
  uint32_t queue = 256;               // requests that may wait for a slot
  uint32_t token_wait_ms = 300;       // how long those who generate wait for one while prompts are read
  std::string draft_model;            // path of one that guesses for the model of --model; empty: none
  uint32_t draft_tokens = 8;          // that are guessed and computed ahead, at most; 0: none
  YieldOptions yield;
  WakePolicy wake = WakePolicy::kAuto;
  uint32_t replan_wait_seconds = 30;  // how long requests wait for another plan when a host is lost
  bool use_every_host = false;        // gives every host a share even where that is slower
  uint32_t stages = 1;                // hosts that lead consecutive layers each
  bool keep_attention = false;        // gives other hosts neurons only

  std::string log_level = "info";   // "trace", "debug", "info", "warning", "error", "off"
  std::string log_format = "text";  // "text", "json"
};

struct ParsedConfig {
  Config config;
  std::string message;  // not empty: print it and exit with success (--help, --version)
};

// Reads the flags (without the program's name) and the file that --config names. INVALID_ARGUMENT with one
// line that names the flag or the file's line and says what is allowed; NOT_FOUND for a missing file.
absl::StatusOr<ParsedConfig> ParseConfig(absl::Span<const std::string> arguments);

// Whether a worker is told to join a home, by a code, by asking, or one that it has joined before, rather
// than a plain address.
bool JoinsHome(const Config& config);

// What the HTTP port asks of clients. On loopback nothing: this machine's users are admins.
struct HttpGuard {
  bool tls = false;
  bool keys = false;
};
HttpGuard HttpGuardOf(const Config& config);

// Whether only this machine can reach the HOST:PORT (or HOST): "localhost", 127.0.0.0/8 and ::1.
bool IsLoopbackAddress(std::string_view address);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CONFIG_H_
