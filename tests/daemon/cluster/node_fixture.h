#ifndef HEARTH_TESTS_DAEMON_CLUSTER_NODE_FIXTURE_H_
#define HEARTH_TESTS_DAEMON_CLUSTER_NODE_FIXTURE_H_

// Nodes in one process, over loopback, with the demo model.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cluster/node.h"

namespace hearth {

inline constexpr char kModel[] = DEMO_MODELS "hearth-demo-q8_0.powerinfer.gguf";
inline constexpr char kPrompt[] = "In the beginning God created";

// A node, a coordinator with its gRPC server.
class TestNode {
 public:
  TestNode(NodeOptions options, int port = 0) {
    std::filesystem::create_directories(options.state_dir);
    options.version = "test";
    options.context_length = 256;
    options.slots = 2;
    options.max_rows = 32;
    options.kv_type = KvType::kF32;
    if (options.devices.empty()) options.devices = Devices(1);
    auto node = Node::Create(options);
    EXPECT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    if (node_->model_host() != nullptr) StartServer(port);
    node_->cluster_view().SetListener([this] {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    node_->Start();
  }

  ~TestNode() {
    node_->cluster_view().SetListener(nullptr);
    node_->Stop();
    if (server_) server_->Shutdown();
  }

  // Devices that are not measured for speed equally well on every run: equal figures give equal plans.
  static std::vector<DeviceOption> Devices(int count) {
    std::vector<DeviceOption> devices(count);
    for (int i = 0; i < count; ++i) {
      devices[i].name = absl::StrCat("cpu", i);
      devices[i].memory_bytes = uint64_t{1} << 30;
      devices[i].threads = 1;
      devices[i].read_bytes_per_s = 1e10;
    }
    return devices;
  }

  // Waits until the cluster looks as wanted; counters change without a notification, so it also looks now
  // and then.
  bool Await(const std::function<bool(const ClusterSnapshot&)>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(90);
    while (std::chrono::steady_clock::now() < deadline) {
      if (condition(node_->cluster_view().Snapshot())) return true;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
    return false;
  }

  std::shared_ptr<ServedModel> AwaitModel() {
    std::shared_ptr<ServedModel> model;
    EXPECT_TRUE(Await([&](const ClusterSnapshot&) {
      auto found = node_->model_host()->Find("");
      if (found.ok()) model = *found;
      return found.ok();
    }));
    return model;
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  int port() const { return port_; }
  Node& node() { return *node_; }

 private:
  void StartServer(int port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(), &port_);
    node_->RegisterServices(builder);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int port_ = 0;
  std::unique_ptr<Node> node_;
  std::unique_ptr<grpc::Server> server_;
};

inline const DeviceShareView* FindShare(const ClusterSnapshot& snapshot, const std::string& host) {
  if (snapshot.plans.empty() || !snapshot.plans[0].active) return nullptr;
  for (const DeviceShareView& share : snapshot.plans[0].shares) {
    if (share.host == host) return &share;
  }
  return nullptr;
}

inline auto SharedWith(const std::string& host) {
  return [host](const ClusterSnapshot& snapshot) { return FindShare(snapshot, host) != nullptr; };
}

inline auto Alone() {
  return [](const ClusterSnapshot& snapshot) {
    return FindShare(snapshot, "a") != nullptr && FindShare(snapshot, "b") == nullptr;
  };
}

inline bool HoldsUnits(const ClusterSnapshot& snapshot, const std::string& host) {
  const DeviceShareView* share = FindShare(snapshot, host);
  return share != nullptr && share->head_groups + share->output_runs > 0;
}

// The other host only leads.
inline auto AllAt(const std::string& host) {
  return [host](const ClusterSnapshot& snapshot) {
    return HoldsUnits(snapshot, host) && !HoldsUnits(snapshot, host == "a" ? "b" : "a");
  };
}

// Reads what the model has not of a sequence, as the scheduler does; returns the likeliest next token.
inline absl::StatusOr<TokenId> Step(ServedModel& model, const std::vector<TokenId>& tokens) {
  if (absl::Status status = model.PrepareStep(); !status.ok()) return status;
  std::vector<float> logits(model.decoder().model().spec().n_vocab);
  while (model.decoder().SequenceLength(0) < tokens.size()) {
    std::vector<BatchRow> rows;
    for (uint32_t i = model.decoder().SequenceLength(0);
         i < tokens.size() && rows.size() < model.decoder().options().max_rows; ++i) {
      rows.push_back({0, i, tokens[i], i + 1 == tokens.size()});
    }
    if (absl::Status status = model.decoder().Step(rows, absl::MakeSpan(logits)); !status.ok()) {
      if (absl::IsUnavailable(status)) model.ReportLostDevice(status);
      return status;
    }
  }
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// The same while hosts are lost: repeats the step until there is a plan it succeeds with.
inline absl::StatusOr<TokenId> StepOnAnyPlan(ServedModel& model, const std::vector<TokenId>& tokens) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (;;) {
    absl::StatusOr<TokenId> token = Step(model, tokens);
    if (!absl::IsUnavailable(token.status()) || std::chrono::steady_clock::now() > deadline) return token;
    model.AwaitReady(1000);
  }
}

// Greedy tokens; `after_each` is called with their number.
inline absl::StatusOr<std::vector<TokenId>> Generate(ServedModel& model, size_t count,
                                                     const std::function<void(size_t)>& after_each = {}) {
  model.AwaitReady(30000);
  EXPECT_TRUE(model.decoder().Truncate(0, 0).ok());
  std::vector<TokenId> tokens = model.tokenizer().Encode(kPrompt, {});
  const size_t prompt = tokens.size();
  while (tokens.size() < prompt + count) {
    const absl::StatusOr<TokenId> next = StepOnAnyPlan(model, tokens);
    if (!next.ok()) return next.status();
    tokens.push_back(*next);
    if (after_each) after_each(tokens.size() - prompt);
  }
  return std::vector<TokenId>(tokens.begin() + static_cast<long>(prompt), tokens.end());
}

class NodeTest : public ::testing::Test {
 protected:
  NodeTest() : dir_(absl::StrCat(::testing::TempDir(), "/node-", ::getpid(), "-", counter_++)) {}
  ~NodeTest() override { std::filesystem::remove_all(dir_); }

  NodeOptions CoordinatorOptions() const {
    NodeOptions options;
    options.name = "a";
    options.state_dir = dir_ + "/a";
    options.keep_attention = keep_attention_;
    options.use_every_host = true;
    return options;
  }
  NodeOptions WorkerOptions(const TestNode& coordinator) const {
    NodeOptions options;
    options.name = "b";
    options.state_dir = dir_ + "/b";
    options.join = coordinator.address();
    return options;
  }
  std::unique_ptr<TestNode> StartWorker(const TestNode& coordinator) {
    return std::make_unique<TestNode>(WorkerOptions(coordinator));
  }
  // A coordinator that has the demo model.
  std::unique_ptr<TestNode> StartCoordinator(int port = 0) {
    auto node = std::make_unique<TestNode>(CoordinatorOptions(), port);
    const auto loaded = node->node().model_host()->Load({"demo", kModel});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return node;
  }
  std::vector<TokenId> Expected(size_t count) {
    const auto coordinator = StartCoordinator();
    return Generate(*coordinator->AwaitModel(), count).value();
  }

  const std::string dir_;
  bool keep_attention_ = false;
  static inline int counter_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_CLUSTER_NODE_FIXTURE_H_
