// A daemon whose memory does not hold its model: neurons stay on the disk, and the text is that of memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/node_options.h"
#include "daemon/planning/model_description.h"
#include "daemon/weights/model_file.h"
#include "engine/tools/pack_command.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr char kPrompt[] = "In the beginning";
constexpr uint32_t kTokens = 24;
constexpr uint32_t kContext = 256;

std::string Pack(const std::string& model, const TemporaryFolder& folder) {
  const std::string packed = folder.path() + "/packed.gguf";
  const auto summary = PackFile(model, packed, {.threads = 1});
  EXPECT_TRUE(summary.ok()) << summary.status();
  return packed;
}

// Memory for everything of a model but half of its neurons.
uint64_t BytesWithoutHalfOfTheNeurons(const std::string& model) {
  const auto file = ReadModelFile(*GgufFile::Open(model), std::nullopt, kContext);
  EXPECT_TRUE(file.ok()) << file.status();
  DecoderOptions options{.sequences = 1, .context_length = kContext};
  options.max_rows = NodeOptions{}.max_rows;
  options.kv_type = NodeOptions{}.kv_type;
  const placement::Model description = DescribeModel(*file->outline, options).value();
  uint64_t bytes = description.leader_memory_bytes;
  for (const placement::Section& section : description.sections) {
    for (const placement::Group& group : section.groups)
      bytes += section.name.kind == placement::GroupKind::kNeurons ? group.memory_bytes() / 2
                                                                   : group.memory_bytes();
  }
  return bytes;
}

// Half of the neurons are to be somewhere else.
std::string SmallCpu(const std::string& model) {
  return absl::StrCat("cpu,threads=1,bandwidth=10G,memory=", BytesWithoutHalfOfTheNeurons(model));
}
// With room for the gates of half of the neurons, twice, and few of their other rows.
constexpr uint64_t kDiskBytes = 900 << 10;
constexpr char kDisk[] = "disk,kind=disk,memory=900KiB,bandwidth=20M";

std::vector<std::string> Leading(const std::string& model, const std::string& sparsity,
                                 const std::vector<std::string>& devices) {
  std::vector<std::string> arguments = {"--model", model, "--context",  absl::StrCat(kContext),
                                        "--slots", "1",   "--sparsity", sparsity};
  for (const std::string& device : devices) arguments.insert(arguments.end(), {"--device", device});
  return arguments;
}

const v1::DeviceShare* ShareOf(const v1::ClusterStatus& status, const std::string& device) {
  for (const v1::PlanStatus& plan : status.plans()) {
    for (const v1::DeviceShare& share : plan.shares()) {
      if (plan.active() && share.device() == device) return &share;
    }
  }
  return nullptr;
}

bool ReadsDisk(const v1::ClusterStatus& status) { return ShareOf(status, "disk") != nullptr; }
bool IsInMemory(const v1::ClusterStatus& status) {
  return ShareOf(status, "cpu") != nullptr && !ReadsDisk(status);
}

struct Case {
  const char* model;
  const char* sparsity;
};

class NeuronsOnDisk : public testing::TestWithParam<Case> {
 protected:
  const TemporaryFolder folder_;
};

TEST_P(NeuronsOnDisk, TextIsThatOfMemory) {
  const std::string packed = Pack(GetParam().model, folder_);
  const DaemonProcess host(folder_.path(), "a",
                           Leading(packed, GetParam().sparsity, {SmallCpu(packed), kDisk}));
  Client client(host.address());
  ASSERT_TRUE(AwaitCluster(client, ReadsDisk));
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)),
            ReferenceTokens(GetParam().model, kPrompt, kTokens, {"--sparsity", GetParam().sparsity}));
  const auto status = client.GetCluster();
  ASSERT_TRUE(status.ok()) << status.status();
  const v1::DeviceShare* const share = ShareOf(*status, "disk");
  ASSERT_NE(share, nullptr);
  EXPECT_GT(share->disk().misses(), 0u);
  EXPECT_GT(share->disk().bytes_read(), 0u);
  EXPECT_LE(share->weight_bytes() + share->disk().memory_bytes(), kDiskBytes);
  EXPECT_EQ(share->head_groups(), 0u);
  EXPECT_THAT(status->plans(0).explanation(), HasSubstr("a/disk (disk) holds"));
}

TEST_P(NeuronsOnDisk, TimelineShowsWhatEachDeviceComputedAndWhatWasRead) {
  const std::string packed = Pack(GetParam().model, folder_);
  const DaemonProcess host(folder_.path(), "a",
                           Leading(packed, GetParam().sparsity, {SmallCpu(packed), kDisk}));
  Client client(host.address());
  ASSERT_TRUE(AwaitCluster(client, ReadsDisk));
  EXPECT_EQ(client.GetTimeline("").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(client.GetTimeline("nobody").status().code(), absl::StatusCode::kNotFound);
  GenerateTokens(client, GreedyRequest(kPrompt, kTokens));
  const auto step = client.GetTimeline("");
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_EQ(step->model(), "packed");
  EXPECT_GE(step->rows(), 1u);
  const uint32_t layers = client.GetPlan("")->layers();
  std::set<std::string> computed, read;
  uint64_t bytes = 0;
  for (const v1::TimelineEvent& event : step->events()) {
    EXPECT_LE(event.begin_ms(), event.end_ms());
    EXPECT_LE(event.end_ms(), step->ms());
    bytes += event.bytes();
    if (event.kind() == v1::TimelineEvent::KIND_COMPUTED)
      computed.insert(event.device() + " " + event.what());
    if (event.kind() == v1::TimelineEvent::KIND_READ) read.insert(event.device());
  }
  for (uint32_t layer = 0; layer < layers; ++layer) {
    EXPECT_TRUE(computed.contains(absl::StrCat("cpu attention ", layer))) << layer;
  }
  EXPECT_TRUE(computed.contains("cpu output"));
  EXPECT_THAT(computed, testing::Contains(testing::StartsWith("disk ffn ")));
  EXPECT_THAT(read, testing::ElementsAre("disk"));
  EXPECT_GT(bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, NeuronsOnDisk,
                         testing::Values(Case{kPlainModel, "dense"}, Case{kPlainModel, "exact"},
                                         Case{kSparseModel, "predicted"}),
                         [](const auto& info) { return info.param.sparsity; });

// Of a model that Load refuses: why.
std::string Refusal(Client& client, const std::string& model) {
  v1::LoadModelRequest load;
  load.set_path(model);
  const absl::Status status = client.LoadModel(load, [](const auto&) {}).status();
  EXPECT_FALSE(status.ok());
  return std::string(status.message());
}

std::vector<std::string> Offering(const std::vector<std::string>& devices) {
  std::vector<std::string> arguments = {"--context", absl::StrCat(kContext), "--slots", "1"};
  for (const std::string& device : devices) arguments.insert(arguments.end(), {"--device", device});
  return arguments;
}

TEST(ModelLargerThanMemory, IsRefusedWithoutADisk) {
  const TemporaryFolder folder;
  const std::string packed = Pack(kPlainModel, folder);
  const DaemonProcess host(folder.path(), "a", Offering({SmallCpu(packed)}));
  Client client(host.address());
  EXPECT_THAT(Refusal(client, packed), HasSubstr("are missing"));
}

TEST(ModelLargerThanMemory, IsToBePackedWhereThereIsADisk) {
  const TemporaryFolder folder;
  const DaemonProcess host(folder.path(), "a", Offering({SmallCpu(kPlainModel), kDisk}));
  Client client(host.address());
  EXPECT_THAT(Refusal(client, kPlainModel), HasSubstr("hearth-model pack"));
}

TEST(ModelLargerThanMemory, DiskWithTooLittleMemoryIsSaid) {
  const TemporaryFolder folder;
  const std::string packed = Pack(kPlainModel, folder);
  const DaemonProcess host(folder.path(), "a", Offering({SmallCpu(packed), "disk,kind=disk,memory=1KiB"}));
  Client client(host.address());
  EXPECT_THAT(Refusal(client, packed), HasSubstr("more memory"));
}

TEST(ModelLargerThanMemory, MemoryOfAHostThatJoinsIsUsedInsteadAndTheDiskAgainWhenItIsLost) {
  const TemporaryFolder folder;
  const std::string packed = Pack(kPlainModel, folder);
  const std::vector<int> expected = ReferenceTokens(kPlainModel, kPrompt, kTokens, {"--sparsity", "exact"});
  const DaemonProcess host(folder.path(), "a", Leading(packed, "exact", {SmallCpu(packed), kDisk}));
  Client client(host.address());
  ASSERT_TRUE(AwaitCluster(client, ReadsDisk));
  {
    DaemonProcess worker(folder.path(), "b",
                         {"--join", host.address(), "--device", "cpu,threads=1,bandwidth=10G,memory=1GiB"});
    ASSERT_TRUE(AwaitCluster(client, IsInMemory));
    EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), expected);
    worker.Kill();
  }
  EXPECT_EQ(GenerateTokens(client, GreedyRequest(kPrompt, kTokens)), expected);
  EXPECT_TRUE(AwaitCluster(client, ReadsDisk));
}

}  // namespace
}  // namespace hearth
