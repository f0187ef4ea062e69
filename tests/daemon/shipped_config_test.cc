// The settings that the package installs: every line that a person may uncomment is one that hearthd takes,
// and every flag is among them.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

constexpr char kShipped[] = "deploy/package/hearthd.toml";  // tests run in the root of the source

std::string Shipped() {
  std::ifstream file(kShipped);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Settings that stand in the file, commented out ("#key = value") or not, in its order.
std::vector<std::string> Settings() {
  std::vector<std::string> settings;
  const std::string text = Shipped();
  const std::regex line("(?:^|\n)#?([a-z][a-z-]* = [^\n]*)");
  for (std::sregex_iterator match(text.begin(), text.end(), line), end; match != end; ++match) {
    settings.push_back((*match)[1]);
  }
  return settings;
}

std::string KeyOf(const std::string& setting) { return setting.substr(0, setting.find(' ')); }

absl::Status ParseFile(const std::string& text) {
  const std::string path = absl::StrCat(testing::TempDir(), "/shipped_", getpid(), ".toml");
  std::ofstream(path) << text;
  const std::vector<std::string> arguments = {"--config", path};
  const absl::Status status = ParseConfig(arguments).status();
  std::remove(path.c_str());
  return status;
}

TEST(ShippedConfigTest, IsTakenAsItIs) {
  ASSERT_FALSE(Shipped().empty());
  EXPECT_EQ(ParseFile(Shipped()), absl::OkStatus());
}

TEST(ShippedConfigTest, EveryLineInItIsTaken) {
  ASSERT_FALSE(Settings().empty());
  for (const std::string& setting : Settings()) {
    // What some settings need beside them: one name, or who guesses, or adapters, are for one model, a
    // certificate has its key.
    const std::string store = "state-store = \"etcd://127.0.0.1:1\"\n",
                      secret = "state-store-secret = \"s\"\n", authority = "state-store-ca = \"ca.pem\"\n",
                      key = "state-store-key = \"k.pem\"\n", certificate = "state-store-cert = \"c.pem\"\n";
    const std::map<std::string, std::string> others = {{"model-name", "model = \"m.gguf\"\n"},
                                                       {"draft-model", "model = \"m.gguf\"\n"},
                                                       {"lora", "model = \"m.gguf\"\n"},
                                                       {"http-certificate", "http-key = \"k.pem\"\n"},
                                                       {"http-key", "http-certificate = \"c.pem\"\n"},
                                                       {"state-store", secret + authority},
                                                       {"state-store-secret", store},
                                                       {"state-store-ca", store + secret},
                                                       {"state-store-cert", store + secret + key},
                                                       {"state-store-key", store + secret + certificate}};
    const auto other = others.find(KeyOf(setting));
    EXPECT_EQ(ParseFile((other == others.end() ? "" : other->second) + setting + "\n"), absl::OkStatus())
        << setting;
  }
}

TEST(ShippedConfigTest, EveryFlagStandsInItOnce) {
  const std::string help = ParseConfig(std::vector<std::string>{"--help"})->message;
  std::set<std::string> flags;
  const std::regex flag("\n +(?:-[a-z],)?--([a-z-]+)");
  for (std::sregex_iterator match(help.begin(), help.end(), flag), end; match != end; ++match) {
    flags.insert((*match)[1]);
  }
  for (const char* not_in_files : {"help", "version", "config"}) flags.erase(not_in_files);
  ASSERT_GT(flags.size(), 20u);
  std::vector<std::string> keys;
  for (const std::string& setting : Settings()) keys.push_back(KeyOf(setting));
  EXPECT_THAT(keys, testing::UnorderedElementsAreArray(flags))
      << "a new flag needs its lines in " << kShipped;
}

TEST(ShippedConfigTest, DefaultsThatItNamesAreTheDefaults) {
  const Config config;
  for (const std::string& line :
       {absl::StrCat("#listen = \"", config.listen, "\""), absl::StrCat("#http = \"", kDefaultHttp, "\""),
        absl::StrCat("#tensor-listen = \"", config.tensor_listen, "\""),
        absl::StrCat("#queue = ", config.queue), absl::StrCat("#token-wait = ", config.token_wait_ms),
        absl::StrCat("#draft-tokens = ", config.draft_tokens),
        absl::StrCat("#replan-wait = ", config.replan_wait_seconds),
        absl::StrCat("#state-store-lease = ", config.state_store_lease_seconds),
        absl::StrCat("#objective = \"", placement::ObjectiveText(config.objective), "\""),
        absl::StrCat("#stages = ", config.stages), absl::StrCat("#threads = ", config.threads),
        absl::StrCat("#log-level = \"", config.log_level, "\""),
        absl::StrCat("#log-format = \"", config.log_format, "\"")}) {
    EXPECT_THAT(Shipped(), testing::HasSubstr("\n" + line + "\n"));
  }
}

}  // namespace
}  // namespace hearth
