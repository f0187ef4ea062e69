#include "tests/damage/damaged_cluster.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "tests/damage/mutation.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// hearthd's options where nothing is said; the figures of speed are given, so that plans are the same on
// every run.
absl::StatusOr<std::unique_ptr<Node>> MakeNode(const std::string& name, const std::string& directory,
                                               const std::string& join) {
  NodeOptions options;
  options.name = name;
  options.state_dir = absl::StrCat(directory, "/", name);
  options.join = join;
  options.version = "test";
  options.use_every_host = true;
  DeviceOption& device = options.devices.emplace_back();
  device.name = "cpu";
  device.threads = 1;
  device.memory_bytes = uint64_t{1} << 30;
  device.read_bytes_per_s = 1e10;
  fs::create_directories(options.state_dir);
  return Node::Create(options);
}

v1::GenerateRequest EightTokens(const std::string& model) {
  v1::GenerateRequest request;
  request.set_model(model);
  request.mutable_tokens()->add_ids(1);
  request.mutable_tokens()->add_ids(5);
  request.set_max_tokens(8);
  request.set_ignore_eos(true);
  request.mutable_sampling()->set_seed(1);
  return request;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DamagedCluster>> DamagedCluster::Start(const std::string& directory) {
  std::unique_ptr<DamagedCluster> cluster(new DamagedCluster(directory));
  HEARTH_RETURN_IF_ERROR(cluster->StartNodes());
  HEARTH_RETURN_IF_ERROR(cluster->AwaitWorker());
  return cluster;
}

absl::Status DamagedCluster::StartNodes() {
  HEARTH_ASSIGN_OR_RETURN(coordinator_, MakeNode("a", directory_, ""));
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.register_services = [this](grpc::ServerBuilder& builder) {
    coordinator_->RegisterServices(builder);
  };
  HEARTH_ASSIGN_OR_RETURN(server_,
                          Server::Start(options, *coordinator_->model_host(), coordinator_->cluster_view()));
  coordinator_->Start();
  client_ = std::make_unique<Client>(server_->address());
  HEARTH_ASSIGN_OR_RETURN(worker_, MakeNode("b", directory_, server_->address()));
  worker_->Start();
  return absl::OkStatus();
}

absl::Status DamagedCluster::AwaitWorker() {
  return client_->WatchCluster([](const v1::ClusterStatus& status) { return status.hosts_size() < 2; },
                               absl::Seconds(60));
}

DamagedCluster::~DamagedCluster() {
  if (server_) server_->EndGenerations();
  if (worker_) worker_->Stop();
  if (coordinator_) coordinator_->Stop();
  if (server_) server_->Shutdown(absl::Seconds(1));
}

absl::Status DamagedCluster::Try(const std::string& name, const std::vector<uint8_t>& bytes) {
  const std::string path = absl::StrCat(directory_, "/", name, ".gguf");
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  v1::LoadModelRequest request;
  request.set_name(name);
  request.set_path(path);
  absl::Status status = client_->LoadModel(request, [](const v1::ModelStatus&) {}).status();
  if (status.ok()) status = Ask(name);
  (void)client_->UnloadModel(name);  // NOT_FOUND where it was refused at once
  fs::remove(path);
  return status;
}

absl::Status DamagedCluster::Ask(const std::string& model) {
  int tokens = 0;
  const auto finished = client_->Generate(
      EightTokens(model), [&](const v1::GenerateResponse& event) { tokens += event.delta().tokens_size(); });
  if (!finished.ok()) return finished.status();
  return tokens == 8 ? absl::OkStatus()
                     : absl::InternalError(absl::StrCat("8 tokens were asked for, got ", tokens));
}

void DamagedCluster::DamageCache(uint64_t seed) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory_ + "/b/cache")) {
    if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
  }
  if (files.empty()) return;
  std::sort(files.begin(), files.end());
  const fs::path& file = files[seed % files.size()];
  std::vector<uint8_t> bytes(fs::file_size(file));
  std::ifstream(file, std::ios::binary)
      .read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  Damage(seed, 0, bytes.size(), bytes);
  if (seed % 3 == 0) bytes.resize(bytes.size() / 2);
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace hearth
