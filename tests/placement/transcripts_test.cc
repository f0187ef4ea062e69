// Homes in which things happen, and what is planned then, as texts that people read:
// tests/placement/transcripts. HEARTH_UPDATE_TRANSCRIPTS=1 writes them anew.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "placement/plan.h"
#include "placement/units.h"
#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

struct Event {
  std::string words;
  std::function<void(Cluster&)> happen;
};

struct Transcript {
  std::string name;  // of the file
  std::string prose;
  Cluster cluster;
  Model model;
  std::vector<Event> events;
  PlanOptions options;
};

constexpr double kGigabit = 1.17e8;
constexpr double kMegabit = 1.17e5;

Host Pc(std::string name, uint64_t memory, double read_gb_per_s, double round_trip_us = 180,
        double bytes_per_s = kGigabit) {
  return {std::move(name),
          {{"cpu", DeviceKind::kCpu, memory, read_gb_per_s * 1e9, read_gb_per_s * 2.5e10, 5}},
          {round_trip_us, bytes_per_s}};
}

LlamaShape WithContext(LlamaShape shape, uint32_t context) {
  shape.context = context;
  return shape;
}

std::string ClusterText(const Cluster& cluster) {
  std::string text;
  for (size_t h = 0; h < cluster.hosts.size(); ++h) {
    const Host& host = cluster.hosts[h];
    absl::StrAppend(&text, "  ", host.name, h == cluster.leader ? " leads" : "");
    if (h != cluster.leader) {
      absl::StrAppendFormat(&text, " is %s and %.1f MB/s away", FormatTime(host.link.round_trip_us),
                            host.link.bytes_per_s / 1e6);
    }
    for (const Device& device : host.devices) {
      absl::StrAppendFormat(&text, "; %s: %s, %.1f GB/s", device.name, FormatBytes(device.memory_bytes),
                            device.read_bytes_per_s / 1e9);
    }
    text += "\n";
  }
  return text;
}

std::string PlanText(const Cluster& cluster, const Model& model, const PlanOptions& options) {
  const absl::StatusOr<Plan> plan = MakePlan(cluster, model, options);
  if (!plan.ok()) return absl::StrCat("  refused: ", plan.status().message(), "\n");
  std::string text;
  for (const std::string& line : plan->explanation) absl::StrAppend(&text, "  ", line, "\n");
  return text;
}

std::string TextOf(const Transcript& transcript) {
  Cluster cluster = transcript.cluster;
  std::string text = absl::StrCat(transcript.prose, "\n\nCluster:\n", ClusterText(cluster), "\nPlan:\n",
                                  PlanText(cluster, transcript.model, transcript.options));
  for (const Event& event : transcript.events) {
    event.happen(cluster);
    absl::StrAppend(&text, "\n", event.words, "\n", PlanText(cluster, transcript.model, transcript.options));
  }
  return text;
}

std::vector<Transcript> Transcripts() {
  const Model dense = LlamaModel(kLlama7b), large = LlamaModel(kLlama70b), hot = PowerLawModel(kLlama7b);
  std::vector<Transcript> all;
  all.push_back(
      {"one_pc", "One PC and a model that fits it.", {{Pc("desktop", 16 * kGiB, 40)}, 0}, dense, {}, {}});
  all.push_back(
      {"two_equal_pcs",
       "Two equal PCs in gigabit Ethernet.",
       {{Pc("left", 16 * kGiB, 20), Pc("right", 16 * kGiB, 20)}, 0},
       dense,
       {{"The link falls to 10 Mbit/s.", [](Cluster& c) { c.hosts[1].link.bytes_per_s = 10 * kMegabit; }},
        {"The link heals.", [](Cluster& c) { c.hosts[1].link.bytes_per_s = kGigabit; }}},
       {}});
  all.push_back({"weak_second_pc",
                 "The second machine is old: a fifth of the speed.",
                 {{Pc("desktop", 16 * kGiB, 40), Pc("old", 8 * kGiB, 8)}, 0},
                 dense,
                 {{"The old machine gets twice as fast memory.",
                   [](Cluster& c) { c.hosts[1].devices[0].read_bytes_per_s *= 2; }}},
                 {}});
  all.push_back({"laptop_on_wifi",
                 "A good laptop, but on Wi-Fi.",
                 {{Pc("desktop", 16 * kGiB, 40), Pc("laptop", 16 * kGiB, 45, 4200, 3.5e7)}, 0},
                 dense,
                 {{"Somebody plugs the cable in.",
                   [](Cluster& c) {
                     c.hosts[1].link = {180, kGigabit};
                   }}},
                 {}});
  all.push_back({"wifi_laptop_is_needed",
                 "Only the laptop's memory makes the model fit.",
                 {{Pc("desktop", 3 * kGiB, 40), Pc("laptop", 8 * kGiB, 45, 4200, 3.5e7)}, 0},
                 dense,
                 {},
                 {}});
  all.push_back({"four_small_boards",
                 "Four boards that each hold the model.",
                 {{Pc("pi1", 7 * kGiB, 11), Pc("pi2", 7 * kGiB, 11, 250), Pc("pi3", 7 * kGiB, 11, 250),
                   Pc("pi4", 7 * kGiB, 11, 250)},
                  0},
                 dense,
                 {{"pi4 is switched off.", [](Cluster& c) { c.hosts.pop_back(); }},
                  {"pi3 is throttled by heat to a quarter of its speed.",
                   [](Cluster& c) { c.hosts[2].devices[0].read_bytes_per_s /= 4; }}},
                 {}});
  all.push_back({"seven_workers",
                 "Many workers share one network card of the leader.",
                 [] {
                   Cluster c{{Pc("leader", 16 * kGiB, 20)}, 0};
                   for (int i = 1; i <= 7; ++i) c.hosts.push_back(Pc(absl::StrCat("w", i), 16 * kGiB, 20));
                   return c;
                 }(),
                 dense,
                 {},
                 {}});
  all.push_back(
      {"gpu_holds_all",
       "A graphics card that holds the whole model, and two mini PCs.",
       {{GamingPc("gaming", 12 * kGiB, 24 * kGiB), Pc("mini1", 16 * kGiB, 40), Pc("mini2", 16 * kGiB, 40)},
        0},
       dense,
       {},
       {}});
  all.push_back({"hot_neurons_on_a_small_gpu",
                 "Neurons fire by a power law; the card holds a third of the model.",
                 {{GamingPc("gaming", 2 * kGiB, 24 * kGiB)}, 0},
                 hot,
                 {{"A game takes half of the card's memory.",
                   [](Cluster& c) { c.hosts[0].devices[0].memory_bytes /= 2; }}},
                 {}});
  all.push_back({"gpu_is_elsewhere",
                 "A NAS leads, the graphics card is in another machine.",
                 {{Pc("nas", 8 * kGiB, 14), GamingPc("gaming", 12 * kGiB, 20 * kGiB, 2.9e8)}, 0},
                 dense,
                 {},
                 {}});
  all.push_back({"large_model_on_eight_pcs",
                 "70B on eight PCs with a card each.",
                 [] {
                   Cluster c;
                   for (int i = 1; i <= 8; ++i)
                     c.hosts.push_back(GamingPc(absl::StrCat("pc", i), 8 * kGiB, 8 * kGiB, 1.15e9));
                   return c;
                 }(),
                 large,
                 {{"pc8 is lost.", [](Cluster& c) { c.hosts.pop_back(); }}},
                 {}});
  all.push_back({"too_little_memory",
                 "Two PCs that are too small together.",
                 {{Pc("desktop", 3 * kGiB, 40), Pc("other", 2 * kGiB, 40)}, 0},
                 large,
                 {{"A third one comes, with 64 GiB.",
                   [](Cluster& c) { c.hosts.push_back(Pc("server", 64 * kGiB, 60)); }}},
                 {}});
  all.push_back({"cache_is_too_large",
                 "The weights fit, the cache of the context that was asked for does not.",
                 {{Pc("desktop", 24 * kGiB, 40)}, 0},
                 LlamaModel(WithContext(kLlama7b, 65536)),
                 {},
                 {}});
  all.push_back({"leader_is_too_small",
                 "The leader's own part does not fit it.",
                 {{Pc("tiny", 64 * kMiB, 10), Pc("desktop", 16 * kGiB, 40)}, 0},
                 dense,
                 {},
                 {}});
  all.push_back({"long_context",
                 "The cache of a long context is larger than the weights.",
                 {{Pc("desktop", 24 * kGiB, 40), Pc("other", 24 * kGiB, 40)}, 0},
                 LlamaModel(WithContext(kLlama7b, 65536)),
                 {},
                 {}});
  all.push_back({"every_host_is_asked_for",
                 "The owner wants all hosts to take part.",
                 {{Pc("desktop", 16 * kGiB, 40), Pc("far", 16 * kGiB, 40, 2000, 5e6)}, 0},
                 dense,
                 {},
                 {.use_every_host = true}});
  all.push_back({"attention_stays_at_home",
                 "Other hosts are to hold neurons only.",
                 {{Pc("left", 16 * kGiB, 20), Pc("right", 16 * kGiB, 20)}, 0},
                 dense,
                 {},
                 {.keep_attention = true}});
  all.push_back({"three_stages",
                 "Three hosts lead a third of the layers each.",
                 {{Pc("a", 16 * kGiB, 20), Pc("b", 16 * kGiB, 20), Pc("c", 16 * kGiB, 20)}, 0},
                 dense,
                 {},
                 {.stages = 3}});
  all.push_back({"many_streams",
                 "Two equal PCs that answer eight people at once.",
                 {{Pc("left", 16 * kGiB, 20), Pc("right", 16 * kGiB, 20)}, 0},
                 dense,
                 {{"They get 10-gigabit cards.",
                   [](Cluster& c) {
                     c.hosts[1].link = {90, 10 * kGigabit};
                   }},
                  {"The second one is replaced by an old machine.",
                   [](Cluster& c) { c.hosts[1].devices[0].read_bytes_per_s /= 8; }}},
                 {.objective = {ObjectiveKind::kThroughput, 8}}});
  all.push_back(
      {"long_prompts",
       "A desktop reads long documents; a workstation multiplies fast, behind a slow switch.",
       {{Pc("desktop", 16 * kGiB, 40),
         Host{"workstation", {{"cpu", DeviceKind::kCpu, 16 * kGiB, 2e10, 8e12, 5}}, {2500, 10 * kGigabit}}},
        0},
       dense,
       {{"The link falls to 100 Mbit/s.", [](Cluster& c) { c.hosts[1].link.bytes_per_s = 100 * kMegabit; }}},
       {.objective = {ObjectiveKind::kPrompt, 512}}});
  return all;
}

class TranscriptTest : public ::testing::TestWithParam<Transcript> {};

TEST_P(TranscriptTest, ReadsAsBefore) {
  const std::string path = absl::StrCat("tests/placement/transcripts/", GetParam().name, ".txt");
  const std::string text = TextOf(GetParam());
  if (std::getenv("HEARTH_UPDATE_TRANSCRIPTS") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  ASSERT_TRUE(file) << "no " << path;
  EXPECT_EQ(text, std::string(std::istreambuf_iterator<char>(file), {}));
}

INSTANTIATE_TEST_SUITE_P(Homes, TranscriptTest, ::testing::ValuesIn(Transcripts()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace hearth::placement
