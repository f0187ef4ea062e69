// Daemons with an emulated GPU: what is hot lies on the GPU, the rest on CPUs, and the text is that of CPUs
// alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "daemon/node_options.h"
#include "daemon/weights/model_file.h"
#include "engine/device/gpu_device.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::Gt;
using ::testing::HasSubstr;

constexpr char kPrompt[] = "In the beginning";
constexpr uint32_t kTokens = 16;  // an emulator takes about 0.1 s for each
constexpr uint32_t kContext = 128;
// A CPU, and a card that is planned as ten times as fast.
constexpr char kCpu[] = "cpu,threads=1,bandwidth=10G,memory=1GiB";
constexpr char kBandwidth[] = ",bandwidth=100G";

std::string Gpu(const std::string& memory, const char* bandwidth = kBandwidth) {
  return absl::StrCat("gpu0,kind=emulated-gpu,memory=", memory, bandwidth);
}

// A GPU with room for so many bytes of the demo model's weights and caches, besides what it computes with.
std::string GpuFor(uint64_t bytes, const char* bandwidth = kBandwidth) {
  const auto file = ReadModelFile(*GgufFile::Open(kSparseModel), std::nullopt, kContext);
  EXPECT_TRUE(file.ok()) << file.status();
  DecoderOptions options;
  options.sequences = 1;
  options.context_length = kContext;
  options.max_rows = NodeOptions{}.max_rows;
  options.kv_type = NodeOptions{}.kv_type;
  constexpr uint64_t kMuch = uint64_t{1} << 30;
  uint64_t budget = 0;  // the smallest of those that leave as much
  for (uint64_t step = kMuch; step > 0; step /= 2) {
    if (GpuDevice::WeightBudget(budget + step, *file->outline, options) < bytes) budget += step;
  }
  return Gpu(absl::StrCat(budget + 1), bandwidth);
}

// A quarter of the model.
std::string SmallGpu() { return GpuFor(std::filesystem::file_size(kSparseModel) / 4); }

std::vector<std::string> DeviceArguments(std::vector<std::string> arguments,
                                         const std::vector<std::string>& devices) {
  for (const std::string& device : devices) arguments.insert(arguments.end(), {"--device", device});
  return arguments;
}

std::vector<std::string> Leading(const std::vector<std::string>& devices) {
  return DeviceArguments(
      {"--model", kSparseModel, "--context", absl::StrCat(kContext), "--slots", "1", "--use-every-host"},
      devices);
}

const v1::DeviceShare* FindShare(const v1::ClusterStatus& status, const std::string& host,
                                 const std::string& device) {
  for (const v1::PlanStatus& plan : status.plans()) {
    for (const v1::DeviceShare& share : plan.shares()) {
      if (plan.active() && share.host() == host && share.device() == device) return &share;
    }
  }
  return nullptr;
}

const v1::DeviceStatus* FindDevice(const v1::HostStatus& host, const std::string& name) {
  for (const v1::DeviceStatus& device : host.devices()) {
    if (device.name() == name) return &device;
  }
  return nullptr;
}

bool GpuHasShare(const v1::ClusterStatus& status, const std::string& host) {
  const v1::DeviceShare* const share = FindShare(status, host, "gpu0");
  return share != nullptr && share->weight_bytes() > 0;
}

// Of the neurons that a device holds, how many it computes for a token.
double Activity(const v1::DeviceShare& share) {
  const double computed =
      std::accumulate(share.neurons_computed().begin(), share.neurons_computed().end(), 0.0);
  const double held = std::accumulate(share.neurons_offered().begin(), share.neurons_offered().end(), 0.0);
  return held == 0 ? 0 : computed / held;
}

v1::ClusterStatus StatusOf(Client& client) {
  const auto status = client.GetCluster();
  EXPECT_TRUE(status.ok()) << status.status();
  return status.ok() ? *status : v1::ClusterStatus();
}

// The text of the request, generated while `on_first` happens.
std::vector<int> GenerateWhile(Client& client, const std::function<void()>& on_first) {
  auto stream = client.StartGenerate(GreedyRequest(kPrompt, kTokens));
  std::vector<int> tokens;
  while (const auto event = stream->Next()) {
    if (tokens.empty() && event->has_delta()) on_first();
    tokens.insert(tokens.end(), event->delta().tokens().begin(), event->delta().tokens().end());
  }
  const absl::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status;
  return tokens;
}

// What CPUs do alone.
struct Alone {
  std::vector<int> tokens;
  double activity = 0;
};
const Alone& CpusAlone() {
  static const auto* const alone = new Alone([] {
    const TemporaryFolder folder;
    const DaemonProcess host(folder.path(), "a", Leading({kCpu}));
    Client client(host.address());
    EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "a"); }));
    Alone made;
    made.tokens = GenerateTokens(client, GreedyRequest(kPrompt, kTokens));
    const v1::ClusterStatus status = StatusOf(client);
    if (const v1::DeviceShare* share = FindShare(status, "a", "cpu")) made.activity = Activity(*share);
    return made;
  }());
  return *alone;
}

class GpuCluster : public ::testing::Test {
 protected:
  const TemporaryFolder folder_;
};

TEST_F(GpuCluster, GpuTakesHotNeuronsOfTheLayersWhoseColdOnesTheCpuComputes) {
  const DaemonProcess host(folder_.path(), "a", Leading({SmallGpu(), kCpu}));
  Client client(host.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "a"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), CpusAlone().tokens);
  const v1::ClusterStatus status = StatusOf(client);
  const v1::DeviceStatus* const device = FindDevice(status.hosts(0), "gpu0");
  ASSERT_NE(device, nullptr);
  EXPECT_EQ(device->kind(), "emulated-gpu");
  EXPECT_EQ(device->threads(), 0u);
  EXPECT_EQ(status.hosts(0).devices(0).kind(), "cpu");  // the first, which leads

  const v1::DeviceShare* const gpu = FindShare(status, "a", "gpu0");
  const v1::DeviceShare* const cpu = FindShare(status, "a", "cpu");
  ASSERT_TRUE(gpu != nullptr && cpu != nullptr) << status.DebugString();
  EXPECT_LE(gpu->weight_bytes(), std::filesystem::file_size(kSparseModel) / 4);
  EXPECT_GT(gpu->head_groups(), 0u);
  EXPECT_THAT(gpu->neurons(), Each(Gt(0u)));
  EXPECT_THAT(cpu->neurons(), Each(Gt(0u)));
  EXPECT_THAT(gpu->neurons_computed(), Each(Gt(0u)));
  EXPECT_THAT(cpu->neurons_computed(), Each(Gt(0u)));
  EXPECT_LT(Activity(*cpu), CpusAlone().activity);  // the hot ones are gone
}

TEST_F(GpuCluster, LeaderWithoutGpuUsesThatOfAWorkerAndGoesOnWhenItIsLost) {
  const DaemonProcess leader(folder_.path(), "a", Leading({kCpu}));
  DaemonProcess worker(
      folder_.path(), "b",
      DeviceArguments({"--join", leader.address()}, {SmallGpu(), "cpu,threads=1,bandwidth=1G,memory=1"}));
  Client client(leader.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return GpuHasShare(status, "b"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), CpusAlone().tokens);
  // The worker's figures come with its next report.
  EXPECT_TRUE(AwaitCluster(client, [](const auto& status) { return HostComputes(status, "b"); }));
  EXPECT_EQ(FindShare(StatusOf(client), "b", "cpu"), nullptr);
  EXPECT_GT(FindShare(StatusOf(client), "a", "cpu")->weight_bytes(), 0u);

  EXPECT_EQ(GenerateWhile(client, [&] { worker.Kill(); }), CpusAlone().tokens);
  EXPECT_TRUE(AwaitCluster(client, [](const auto& s) { return OnlyCoordinatorHasShare(s, "a"); }));
}

// Its GPU is full with what it is to hold alone, and with what it is to hold beside a faster one.
TEST_F(GpuCluster, LeaderWithAFullGpuSharesWithAFasterOneAndGoesOnWhenItIsLost) {
  const uint64_t half = std::filesystem::file_size(kSparseModel) / 2;
  const DaemonProcess leader(folder_.path(), "a", Leading({GpuFor(half), kCpu}));
  Client client(leader.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return GpuHasShare(status, "a"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), CpusAlone().tokens);
  DaemonProcess worker(
      folder_.path(), "b",
      DeviceArguments({"--join", leader.address()}, {GpuFor(half / 2, ",bandwidth=200G"), kCpu}));
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return GpuHasShare(status, "b"); }));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), CpusAlone().tokens);
  EXPECT_TRUE(AwaitCluster(
      client, [](const auto& status) { return GpuHasShare(status, "a") && GpuHasShare(status, "b"); }));
  EXPECT_EQ(GenerateWhile(client, [&] { worker.Kill(); }), CpusAlone().tokens);
  // Once no sequence uses the old plans, the GPU has room for a new one.
  EXPECT_TRUE(AwaitCluster(client, [](const auto& status) {
    return OnlyCoordinatorHasShare(status, "a") && GpuHasShare(status, "a");
  }));
}

TEST_F(GpuCluster, GpuThatIsTooSmallIsShownAndGetsNothing) {
  // For its own measurement, for what it computes with, and for a single unit.
  for (const std::string& device : {Gpu("4KiB"), Gpu("2MiB"), GpuFor(1)}) {
    const TemporaryFolder folder;
    const DaemonProcess host(folder.path(), "a", Leading({device, kCpu}));
    Client client(host.address());
    ASSERT_TRUE(AwaitCluster(client, [](const auto& status) { return HostHasShare(status, "a"); }));
    EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), CpusAlone().tokens) << device;
    const v1::ClusterStatus status = StatusOf(client);
    EXPECT_NE(FindDevice(status.hosts(0), "gpu0"), nullptr) << device;
    EXPECT_EQ(FindShare(status, "a", "gpu0"), nullptr) << device;
  }
}

TEST_F(GpuCluster, GpuThatIsNotThereEndsTheDaemonWithItsNameAndTheReason) {
  std::string why;
  if (gpu::CountGpus(gpu::GpuKind::kCuda, &why) > 0) GTEST_SKIP() << "there is a GPU";
  const Ended ended = RunToItsEnd(folder_.path() + "/a", "--device gpu0,kind=gpu");
  EXPECT_NE(ended.code, 0);
  EXPECT_THAT(ended.errors, HasSubstr("gpu0"));
  EXPECT_THAT(ended.errors, HasSubstr(why));
  EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
}

}  // namespace
}  // namespace hearth
