#include "daemon/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/thread_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<ParsedConfig> Parse(std::vector<std::string> arguments) { return ParseConfig(arguments); }

// The message of an INVALID_ARGUMENT; "" for anything else.
std::string Refusal(std::vector<std::string> arguments) {
  const auto parsed = ParseConfig(arguments);
  return absl::IsInvalidArgument(parsed.status()) ? std::string(parsed.status().message()) : "";
}

class ConfigFileTest : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::ofstream(path_) << text;
    return path_;
  }
  void TearDown() override { std::remove(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "/config_test_" + std::to_string(::getpid()) + ".toml";
};

// Sets variables of the environment and takes them away again.
class DirectoriesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* xdg = std::getenv("XDG_STATE_HOME")) xdg_ = xdg;
    setenv("XDG_STATE_HOME", "/xdg", 1);
  }
  void TearDown() override {
    for (const char* name : {"STATE_DIRECTORY", "CACHE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME"}) {
      unsetenv(name);
    }
    if (!xdg_.empty()) setenv("XDG_STATE_HOME", xdg_.c_str(), 1);
  }

 private:
  std::string xdg_;
};

TEST_F(DirectoriesTest, AreTheUsersWithoutAServiceManager) {
  setenv("CACHE_DIRECTORY", "/var/cache/hearth", 1);  // counts only beside a state directory
  const Config config = Parse({})->config;
  EXPECT_EQ(config.state_dir, "/xdg/hearth");
  EXPECT_EQ(config.cache_dir, "/xdg/hearth/cache");
  EXPECT_EQ(config.runtime_dir, "/xdg/hearth");
}

TEST_F(DirectoriesTest, AreTheServiceManagersWhereItGivesThem) {
  setenv("STATE_DIRECTORY", "/var/lib/hearth:/var/lib/hearth/models", 1);
  setenv("CACHE_DIRECTORY", "/var/cache/hearth", 1);
  setenv("RUNTIME_DIRECTORY", "/run/hearth", 1);
  const Config config = Parse({})->config;
  EXPECT_EQ(config.state_dir, "/var/lib/hearth");
  EXPECT_EQ(config.cache_dir, "/var/cache/hearth");
  EXPECT_EQ(config.runtime_dir, "/run/hearth");
}

TEST_F(DirectoriesTest, ThoseThatTheServiceManagerDoesNotGiveLieInTheState) {
  setenv("STATE_DIRECTORY", "/var/lib/hearth", 1);
  const Config config = Parse({})->config;
  EXPECT_EQ(config.cache_dir, "/var/lib/hearth/cache");
  EXPECT_EQ(config.runtime_dir, "/var/lib/hearth");
}

TEST_F(DirectoriesTest, AreAllInTheOneThatAFlagNames) {
  setenv("STATE_DIRECTORY", "/var/lib/hearth", 1);
  setenv("CACHE_DIRECTORY", "/var/cache/hearth", 1);
  setenv("RUNTIME_DIRECTORY", "/run/hearth", 1);
  const Config config = Parse({"--state-dir", "/tmp/s"})->config;
  EXPECT_EQ(config.state_dir, "/tmp/s");
  EXPECT_EQ(config.cache_dir, "/tmp/s/cache");
  EXPECT_EQ(config.runtime_dir, "/tmp/s");
}

TEST_F(DirectoriesTest, RelativeOnesOfTheEnvironmentAreNone) {
  setenv("STATE_DIRECTORY", "here", 1);
  EXPECT_EQ(Parse({})->config.state_dir, "/xdg/hearth");
}

TEST(ConfigTest, DefaultsAreALoopbackCoordinator) {
  const auto parsed = Parse({});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.listen, "127.0.0.1:7770");
  EXPECT_TRUE(parsed->config.join.empty());
  EXPECT_FALSE(parsed->config.name.empty());
  EXPECT_FALSE(parsed->config.state_dir.empty());
  EXPECT_EQ(parsed->message, "");
}

TEST(ConfigTest, FlagsSetEveryField) {
  const auto parsed = Parse({"--listen",
                             "127.0.0.1:0",
                             "--name=a",
                             "--state-dir",
                             "/tmp/s",
                             "--model",
                             "x.gguf",
                             "--model-name",
                             "m",
                             "--lora",
                             "l.gguf",
                             "--lora=k.gguf,scale=0.5",
                             "--context",
                             "512",
                             "--kv-type",
                             "f32",
                             "--arithmetic",
                             "float32",
                             "--sparsity",
                             "exact",
                             "--objective",
                             "throughput:2",
                             "--threads",
                             "1",
                             "--slots",
                             "2",
                             "--queue",
                             "9",
                             "--token-wait",
                             "100",
                             "--draft-tokens",
                             "3",
                             "--replan-wait",
                             "5",
                             "--wake",
                             "off",
                             "--use-every-host",
                             "--log-level",
                             "debug",
                             "--log-format",
                             "json",
                             "--cache-size",
                             "2GiB",
                             "--device",
                             "a,memory=1GiB,threads=1",
                             "--device",
                             "b,memory=2GiB"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const Config& config = parsed->config;
  EXPECT_EQ(config.listen, "127.0.0.1:0");
  EXPECT_EQ(config.name, "a");
  EXPECT_EQ(config.state_dir, "/tmp/s");
  EXPECT_THAT(config.models, ElementsAre("x.gguf"));
  EXPECT_EQ(config.model_name, "m");
  EXPECT_THAT(config.lora, ElementsAre(AdapterSource{"l.gguf"}, AdapterSource{"k.gguf", 0.5f}));
  EXPECT_EQ(config.context, 512u);
  EXPECT_EQ(config.kv_type, KvType::kF32);
  EXPECT_EQ(config.arithmetic, Arithmetic::kFloat32);
  EXPECT_EQ(config.sparsity, SparsityMode::kExact);
  EXPECT_EQ(config.objective, placement::OfStreams(2));
  EXPECT_EQ(config.threads, 1u);
  EXPECT_EQ(config.slots, 2u);
  EXPECT_EQ(config.queue, 9u);
  EXPECT_EQ(config.token_wait_ms, 100u);
  EXPECT_EQ(config.draft_tokens, 3u);
  EXPECT_EQ(config.replan_wait_seconds, 5u);
  EXPECT_EQ(config.wake, WakePolicy::kOff);
  EXPECT_TRUE(config.use_every_host);
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.log_format, "json");
  EXPECT_EQ(config.cache_bytes, uint64_t{2} << 30);
  ASSERT_EQ(config.devices.size(), 2u);
  EXPECT_EQ(config.devices[0].name, "a");
  EXPECT_EQ(config.devices[1].memory_bytes, uint64_t{2} << 30);
}

TEST(ConfigTest, HelpShowsExamplesAndFlags) {
  const auto parsed = Parse({"--help"});
  ASSERT_TRUE(parsed.ok());
  for (const char* part : {"Examples:", "--listen", "--join", "--insecure-network", "7770"}) {
    EXPECT_THAT(parsed->message, HasSubstr(part));
  }
}

TEST(ConfigTest, VersionIsOneLine) {
  EXPECT_THAT(Parse({"--version"})->message, testing::StartsWith("hearthd "));
}

TEST(ConfigTest, UnknownFlagIsNamed) { EXPECT_THAT(Refusal({"--modle", "x"}), HasSubstr("--modle")); }

TEST(ConfigTest, BadValuesNameTheirFlag) {
  EXPECT_THAT(Refusal({"--threads", "many"}), HasSubstr("--threads"));
  EXPECT_THAT(Refusal({"--threads", "-1"}), HasSubstr("--threads"));
  EXPECT_THAT(Refusal({"--slots", "0"}), HasSubstr("--slots"));
  EXPECT_THAT(Refusal({"--context", "1"}), HasSubstr("--context"));
  EXPECT_THAT(Refusal({"--kv-type", "f64"}), HasSubstr("--kv-type"));
  EXPECT_THAT(Refusal({"--arithmetic", "slow"}), HasSubstr("--arithmetic"));
  EXPECT_THAT(Refusal({"--sparsity", "some"}), HasSubstr("--sparsity"));
  EXPECT_THAT(Refusal({"--objective", "fast"}), HasSubstr("--objective: expected latency, throughput:N"));
  EXPECT_THAT(Refusal({"--objective", ""}), HasSubstr("--objective"));
  EXPECT_THAT(Refusal({"--log-level", "loud"}), HasSubstr("--log-level"));
  EXPECT_THAT(Refusal({"--log-format", "xml"}), HasSubstr("--log-format"));
  EXPECT_THAT(Refusal({"--cache-size", "big"}), HasSubstr("--cache-size"));
  EXPECT_THAT(Refusal({"--device", "a,memory=much"}), HasSubstr("--device"));
  EXPECT_THAT(Refusal({"--listen"}), HasSubstr("--listen"));
}

TEST(ConfigTest, NumbersAreWrittenInDigitsWithinTheRangeThatIsNamed) {
  for (const char* number : {"-1", "", "1e3", "0x10", "99999999999999999999"}) {
    EXPECT_THAT(Refusal({"--slots", number}), HasSubstr("is no whole number from 1 to 256")) << number;
  }
}

TEST(ConfigTest, MoreThreadsThanTheMachineOffersAreRefused) {
  const std::string cores = std::to_string(ThreadPool::AvailableCores());
  EXPECT_TRUE(Parse({"--threads", cores}).ok());
  EXPECT_THAT(Refusal({"--threads", "1000"}), HasSubstr("is no whole number from 0 to " + cores));
  EXPECT_THAT(Refusal({"--device", "a,threads=1000"}), HasSubstr("this machine offers " + cores));
}

TEST(ConfigTest, TwoDevicesOfOneNameAreRefused) {
  EXPECT_THAT(Refusal({"--device", "a", "--device", "a"}), HasSubstr("'a'"));
}

TEST(ConfigTest, AddressOfOtherMachinesNeedsInsecureNetwork) {
  for (const char* address :
       {"0.0.0.0:7770", "192.168.1.10:7770", "[::]:7770", "example.org:7770", "127.evil.org:7770"}) {
    EXPECT_THAT(Refusal({"--listen", address}), HasSubstr("--insecure-network")) << address;
    EXPECT_THAT(Refusal({"--tensor-listen", address}), HasSubstr("--insecure-network")) << address;
    EXPECT_THAT(Refusal({"--join", address}), HasSubstr("--insecure-network")) << address;
    EXPECT_TRUE(Parse({"--listen", address, "--insecure-network"}).ok()) << address;
  }
}

TEST(ConfigTest, HttpIsOnByItselfAndCanBeOff) {
  EXPECT_EQ(Parse({})->config.http, std::nullopt);
  EXPECT_EQ(Parse({"--http", "127.0.0.1:0"})->config.http, "127.0.0.1:0");
  EXPECT_EQ(Parse({"--http", "off"})->config.http, kHttpOff);
  EXPECT_EQ(Parse({"--http="})->config.http, kHttpOff);
}

// "tls keys" as far as the HTTP port has them.
std::string GuardOf(std::vector<std::string> arguments) {
  const auto parsed = ParseConfig(arguments);
  if (!parsed.ok()) return std::string(parsed.status().message());
  const HttpGuard guard = HttpGuardOf(parsed->config);
  return absl::StrCat(guard.tls ? "tls" : "plain", guard.keys ? " keys" : "");
}

TEST(ConfigTest, HttpIsEncryptedAndAsksForKeysWhereOtherMachinesReachIt) {
  const std::vector<std::string> pair = {"--http-certificate", "c.pem", "--http-key", "k.pem"};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), pair.begin(), pair.end());
    return arguments;
  };
  EXPECT_EQ(GuardOf({}), "plain");
  EXPECT_EQ(GuardOf({"--http", "localhost:1"}), "plain");
  EXPECT_EQ(GuardOf({"--http", "off"}), "plain");
  EXPECT_EQ(GuardOf({"--http", "0.0.0.0:7780"}), "tls keys");
  EXPECT_EQ(GuardOf({"--http", "[::]:7780"}), "tls keys");
  EXPECT_EQ(GuardOf({"--http", "0.0.0.0:7780", "--insecure-network"}), "plain");
  EXPECT_EQ(GuardOf(with({})), "tls keys");
  EXPECT_EQ(GuardOf(with({"--http", "0.0.0.0:7780"})), "tls keys");
  EXPECT_EQ(GuardOf(with({"--http", "0.0.0.0:7780", "--insecure-network"})), "tls keys");
  // Whoever the proxy lets in comes from this machine.
  EXPECT_EQ(GuardOf({"--http-behind-proxy"}), "plain keys");
  EXPECT_EQ(GuardOf({"--http-behind-proxy", "--http", "0.0.0.0:7780"}), "plain keys");
  EXPECT_EQ(GuardOf({"--http-behind-proxy", "--http", "0.0.0.0:7780", "--insecure-network"}), "plain keys");
  EXPECT_THAT(Refusal({"--http", "7780"}), HasSubstr("--http"));
}

TEST(ConfigTest, CertificateAndKeyOfHttpBelongTogetherAndToNoProxy) {
  EXPECT_THAT(Refusal({"--http-certificate", "c.pem"}), HasSubstr("--http-key"));
  EXPECT_THAT(Refusal({"--http-key", "k.pem"}), HasSubstr("--http-certificate"));
  EXPECT_THAT(Refusal({"--http-certificate", "c.pem", "--http-key", "k.pem", "--http-behind-proxy"}),
              HasSubstr("--http-behind-proxy"));
  EXPECT_THAT(Refusal({"--http-certificate", "c\n", "--http-key", "k.pem"}), HasSubstr("--http-certificate"));
}

TEST(ConfigTest, WorkerHasNoKeysToAskFor) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--http", "0.0.0.0:7780"},
                                             {"--http-behind-proxy"},
                                             {"--http-certificate", "c.pem", "--http-key", "k.pem"}}) {
    std::vector<std::string> arguments = {"--join", "home"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_THAT(Refusal(arguments), HasSubstr("the coordinator's")) << flags[0];
  }
  EXPECT_EQ(GuardOf({"--join", "home", "--http", "0.0.0.0:7780", "--insecure-network"}), "plain");
}

TEST(ConfigTest, OriginsOfWebPagesAreChecked) {
  const auto parsed = Parse({"--http-allow-origin", "https://a.example", "--http-allow-origin", "*"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->config.http_allow_origins, ElementsAre("https://a.example", "*"));
  for (const char* origin :
       {"", "a.example", "https://", "https://a.example/", "https://a b", "https://a\r\nX: 1"}) {
    EXPECT_THAT(Refusal({"--http-allow-origin", origin}), HasSubstr("--http-allow-origin")) << origin;
  }
}

TEST(ConfigTest, LoopbackNeedsNothing) {
  for (const char* address : {"127.0.0.1:7770", "127.1.2.3:1", "localhost:7770", "[::1]:7770"}) {
    EXPECT_TRUE(Parse({"--listen", address}).ok()) << address;
  }
}

TEST(ConfigTest, AddressWithoutUsablePortIsRefused) {
  for (const char* address :
       {"127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", ":7770", "::1:7770", ""}) {
    EXPECT_THAT(Refusal({"--listen", address}), HasSubstr("--listen")) << address;
  }
  EXPECT_THAT(Refusal({"--join", "127.0.0.1:0"}), HasSubstr("--join"));
}

TEST(ConfigTest, WorkerOfAnotherMachineNeedsAReachableTensorPort) {
  EXPECT_THAT(Refusal({"--join", "192.168.1.10:7770", "--insecure-network"}), HasSubstr("--tensor-listen"));
  EXPECT_TRUE(
      Parse({"--join", "192.168.1.10:7770", "--insecure-network", "--tensor-listen", "192.168.1.11:0"}).ok());
}

TEST(ConfigTest, JoiningByACodeNeedsNoOtherFlag) {
  // What the code says is found out when it is used.
  EXPECT_EQ(Parse({"--join", "hearthABCDEFG"})->config.join, "hearthABCDEFG");
  EXPECT_TRUE(Parse({"--join", "hearthABCDEFG", "--tensor-listen", "0.0.0.0:0"}).ok());
  EXPECT_THAT(Refusal({"--join", "hearthABCDEFG", "--listen", "0.0.0.0:7770"}),
              HasSubstr("--insecure-network"));
  EXPECT_EQ(Parse({"--join"})->config.join, kJoinLan);
}

TEST(ConfigTest, JoiningByApprovalNeedsNoOtherFlag) {
  for (const char* join :
       {"lan", "lan:192.168.1.10:7772", "lan:[fd00::1]:7772", "lan,10.0.0.1:7771", "home"}) {
    const auto parsed = Parse({"--join", join});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_TRUE(JoinsHome(parsed->config)) << join;
  }
  for (const char* join : {"lan:", "lan:x", "lan:192.168.1.10", "lan:192.168.1.10:0", "lan,"})
    EXPECT_THAT(Refusal({"--join", join}), HasSubstr("--join")) << join;
  EXPECT_FALSE(JoinsHome(Parse({"--join", "127.0.0.1:7777"})->config));
}

TEST(ConfigTest, AWorkerMayKnowSeveralCoordinators) {
  EXPECT_TRUE(Parse({"--join", "127.0.0.1:1,127.0.0.1:2"}).ok());
  for (const char* list : {"127.0.0.1:1,", ",127.0.0.1:1", "127.0.0.1:1,127.0.0.1",
                           "127.0.0.1:1,127.0.0.1:7770", "127.0.0.1:1,192.168.1.10:2"}) {
    EXPECT_THAT(Refusal({"--join", list}), HasSubstr("--join")) << list;
  }
  std::string many = "127.0.0.1:1";
  for (int i = 0; i < 20; ++i) many += ",127.0.0.1:1";
  EXPECT_THAT(Refusal({"--join", many}), HasSubstr("more than 16"));
}

TEST(ConfigTest, AHomeMayHaveOtherAddressesBehindIt) {
  const auto parsed = Parse({"--join", "home,10.0.0.1:7771,10.0.0.2:7771"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.join, kJoinHome);
  EXPECT_EQ(parsed->config.join_others, "10.0.0.1:7771,10.0.0.2:7771");
  EXPECT_EQ(Parse({"--join", "hearthABCDEFG,10.0.0.1:7771"})->config.join, "hearthABCDEFG");
  for (const char* list : {"home,", "home,10.0.0.1", "home,10.0.0.1:7771,", "hearthABCDEFG,x"})
    EXPECT_THAT(Refusal({"--join", list}), HasSubstr("--join")) << list;
}

TEST(ConfigTest, AStandbyIsAWorkerThatMayBeReachedOnceItLeads) {
  const auto parsed = Parse({"--standby", "secret", "--join", "127.0.0.1:7779", "--lan", "10.0.0.2:7771"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.standby, "secret");
  EXPECT_TRUE(parsed->config.remember_models);
  EXPECT_THAT(Refusal({"--standby", "secret", "--state-store", "etcd://127.0.0.1:2379"}),
              HasSubstr("leave it out"));
}

TEST(ConfigTest, StateThatHostsShareIsNamedWithItsSecret) {
  const std::vector<std::string> sound = {"--state-store", "etcd://127.0.0.1:2379/home",
                                          "--state-store-secret", "secret"};
  const auto parsed = Parse(sound);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.state_store, "etcd://127.0.0.1:2379/home");
  EXPECT_TRUE(parsed->config.remember_models);
  EXPECT_FALSE(parsed->config.lan);
  EXPECT_THAT(Refusal({"--state-store", "etcd://127.0.0.1:2379"}), HasSubstr("openssl rand -hex 32"));
  EXPECT_THAT(Refusal({"--state-store", "redis://127.0.0.1:1"}), HasSubstr("--state-store"));
  for (const char* flag :
       {"--state-store-secret", "--state-store-ca", "--state-store-cert", "--state-store-key"})
    EXPECT_THAT(Refusal({flag, "file"}), HasSubstr("needs --state-store"));
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), sound.begin(), sound.end());
    return more;
  };
  EXPECT_THAT(Refusal(with({"--join", "127.0.0.1:1"})), HasSubstr("--join"));
  EXPECT_THAT(Refusal(with({"--state-store-cert", "file"})), HasSubstr("--state-store-key"));
  EXPECT_THAT(Refusal(with({"--state-store-lease", "1"})), HasSubstr("--state-store-lease"));
}

TEST(ConfigTest, EtcdOnOtherMachinesIsEncryptedAndOpensThisOne) {
  const std::vector<std::string> plain = {"--state-store", "etcd://10.0.0.1:2379", "--state-store-secret",
                                          "secret"};
  EXPECT_THAT(Refusal(plain), HasSubstr("--state-store-ca"));
  auto encrypted = plain, insecure = plain;
  encrypted.insert(encrypted.end(), {"--state-store-ca", "ca.pem"});
  insecure.push_back("--insecure-network");
  EXPECT_TRUE(Parse(encrypted)->config.lan);
  EXPECT_FALSE(Parse(insecure)->config.lan);
}

TEST(ConfigTest, LanOpensEncryptedPortsOfACoordinator) {
  EXPECT_FALSE(Parse({})->config.lan);
  EXPECT_TRUE(Parse({"--lan"})->config.lan);
  EXPECT_EQ(Parse({"--lan", "192.168.1.10:7771"})->config.lan_listen, "192.168.1.10:7771");
  EXPECT_THAT(Refusal({"--lan", "here"}), HasSubstr("--lan"));
  EXPECT_THAT(Refusal({"--lan", "--join", "127.0.0.1:7770"}), HasSubstr("--lan"));
}

TEST(ConfigTest, WorkerTakesNoModel) {
  EXPECT_THAT(Refusal({"--join", "127.0.0.1:7771", "--model", "m.gguf"}), HasSubstr("--model"));
}

TEST(ConfigTest, ModelsAreRememberedWhereThatIsAskedFor) {
  EXPECT_FALSE(Parse({})->config.remember_models);
  EXPECT_TRUE(Parse({"--remember-models"})->config.remember_models);
  EXPECT_TRUE(Parse({"--remember-models", "--join", "127.0.0.1:7771"}).ok());  // of no meaning, and no error
}

TEST(ConfigTest, NamesAndPathsThatCannotBeShownAreRefused) {
  for (const std::string& text : {std::string("a\nb"), std::string("a\x1b[2J"), std::string("a\u202e"),
                                  std::string("\xff"), std::string(5000, 'x')}) {
    EXPECT_THAT(Refusal({"--name", text}), HasSubstr("--name: "));
    EXPECT_THAT(Refusal({"--model", text}), HasSubstr("--model: "));
    EXPECT_THAT(Refusal({"--model", "m.gguf", "--model-name", text}), HasSubstr("--model-name: "));
    EXPECT_THAT(Refusal({"--state-dir", text}), HasSubstr("--state-dir: "));
  }
  EXPECT_THAT(Refusal({"--name", " "}), HasSubstr("blank"));
}

TEST(ConfigTest, HostThatJoinsItselfIsRefused) {
  EXPECT_THAT(Refusal({"--listen", "127.0.0.1:7771", "--join", "127.0.0.1:7771"}), HasSubstr("own --listen"));
}

TEST(ConfigTest, OneNameForTwoModelsIsRefused) {
  EXPECT_THAT(Refusal({"--model", "a.gguf", "--model", "b.gguf", "--lora", "l.gguf"}),
              HasSubstr("--lora: needs exactly one --model"));
  EXPECT_THAT(Refusal({"--lora", "l.gguf"}), HasSubstr("--lora: needs exactly one --model"));
  EXPECT_THAT(Refusal({"--model", "a.gguf", "--lora", "l.gguf,scale=x"}), HasSubstr("FILE,scale=S"));
  EXPECT_THAT(Refusal({"--model", "a.gguf", "--model", "b.gguf", "--model-name", "m"}),
              HasSubstr("--model-name"));
}

TEST_F(ConfigFileTest, FileSetsWhatFlagsWould) {
  const auto parsed = Parse({"--config", Write("listen = \"127.0.0.1:1\"\n"
                                               "model = [\"a.gguf\", \"b.gguf\"]\n"
                                               "slots = 3\n"
                                               "use-every-host = true\n"
                                               "kv-type = \"f32\"\n"
                                               "device = \"a,memory=1GiB\"\n")});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.listen, "127.0.0.1:1");
  EXPECT_THAT(parsed->config.models, ElementsAre("a.gguf", "b.gguf"));
  EXPECT_EQ(parsed->config.slots, 3u);
  EXPECT_TRUE(parsed->config.use_every_host);
  EXPECT_EQ(parsed->config.kv_type, KvType::kF32);
  EXPECT_EQ(parsed->config.devices.size(), 1u);
}

TEST_F(ConfigFileTest, FlagsWinOverTheFile) {
  const auto parsed = Parse({"--slots", "5", "--config",
                             Write("slots = 3\nqueue = 7\nmodel = [\"a\", \"b\"]\ndevice = \"a\"\n"),
                             "--model", "c", "--device", "d"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.slots, 5u);
  EXPECT_EQ(parsed->config.queue, 7u);
  EXPECT_THAT(parsed->config.models, ElementsAre("c"));
  ASSERT_EQ(parsed->config.devices.size(), 1u);
  EXPECT_EQ(parsed->config.devices[0].name, "d");
}

TEST_F(ConfigFileTest, WhatIsNoRegularFileIsRefused) {
  EXPECT_THAT(Refusal({"--config", testing::TempDir()}), HasSubstr("is a directory"));
  EXPECT_THAT(Refusal({"--config", "/dev/zero"}), HasSubstr("is not a regular file"));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Refusal({"--config", path_}), HasSubstr("is not a regular file"));
}

TEST_F(ConfigFileTest, AnEmptyFileSetsNothing) {
  const auto parsed = Parse({"--config", Write("")});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->config.slots, Config().slots);
}

TEST_F(ConfigFileTest, MissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Parse({"--config", "/nonexistent.toml"}).status()));
}

TEST_F(ConfigFileTest, BrokenFileNamesTheLine) {
  EXPECT_THAT(Refusal({"--config", Write("slots = 3\nqueue = \n")}), HasSubstr(path_ + ":2: "));
}

TEST_F(ConfigFileTest, UnknownKeyNamesTheLine) {
  EXPECT_THAT(Refusal({"--config", Write("slots = 3\n\ncolour = \"red\"\n")}),
              testing::AllOf(HasSubstr(path_ + ":3: "), HasSubstr("colour")));
}

TEST_F(ConfigFileTest, BadValueNamesTheLine) {
  EXPECT_THAT(Refusal({"--config", Write("slots = \"many\"\n")}), HasSubstr(path_ + ":1: slots"));
  EXPECT_THAT(Refusal({"--config", Write("slots = 1.5\n")}), HasSubstr(path_ + ":1: slots"));
  EXPECT_THAT(Refusal({"--config", Write("[slots]\nx = 1\n")}), HasSubstr("slots"));
}

TEST_F(ConfigFileTest, FlagsThatAreNoSettingsAreRefusedInFiles) {
  EXPECT_THAT(Refusal({"--config", Write("config = \"other.toml\"\n")}), HasSubstr("is a flag only"));
  EXPECT_THAT(Refusal({"--config", Write("help = true\n")}), HasSubstr("is a flag only"));
}

TEST_F(ConfigFileTest, FileCannotOpenTheNetworkByItselfUnlessItSaysSo) {
  EXPECT_THAT(Refusal({"--config", Write("listen = \"0.0.0.0:7770\"\n")}), HasSubstr("--insecure-network"));
  EXPECT_TRUE(Parse({"--config", Write("listen = \"0.0.0.0:7770\"\ninsecure-network = true\n")}).ok());
}

}  // namespace
}  // namespace hearth
