#include "tests/daemon/etcd/etcd_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace hearth {
namespace {

constexpr absl::Duration kStartsWithin = absl::Seconds(60);

const char* Program() {
  for (const char* path : {"/usr/bin/etcd", "/usr/local/bin/etcd"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return nullptr;
}

// So many ports that are free now; held until all are found, so that they differ.
std::vector<int> FreePorts(size_t count) {
  std::vector<int> sockets, ports;
  for (size_t i = 0; i < count; ++i) {
    sockets.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(sockets.back(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(sockets.back(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int socket : sockets) close(socket);
  return ports;
}

pid_t Start(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int out = open(log.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0644);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  _exit(127);
}

std::string Url(const std::string& scheme, int port) { return absl::StrCat(scheme, "://127.0.0.1:", port); }

}  // namespace

bool EtcdProcesses::Installed() { return Program() != nullptr; }

EtcdProcesses::EtcdProcesses(size_t members, const std::vector<std::string>& arguments,
                             const std::string& certificate_folder) {
  if (!Installed()) return;
  std::string pattern = (std::filesystem::temp_directory_path() / "hearth-etcd-XXXXXX").string();
  folder_ = mkdtemp(pattern.data());
  const std::vector<int> ports = FreePorts(2 * members);
  std::vector<std::string> cluster;
  for (size_t i = 0; i < members; ++i) {
    endpoints_.push_back(absl::StrCat("127.0.0.1:", ports[2 * i]));
    cluster.push_back(absl::StrCat("m", i, "=", Url("http", ports[2 * i + 1])));
  }
  const std::string scheme = certificate_folder.empty() ? "http" : "https";
  for (size_t i = 0; i < members; ++i) {
    const std::string client = Url(scheme, ports[2 * i]), peer = Url("http", ports[2 * i + 1]);
    std::vector<std::string> command = {Program(),
                                        "--name",
                                        absl::StrCat("m", i),
                                        "--data-dir",
                                        absl::StrCat(folder_, "/m", i),
                                        "--listen-client-urls",
                                        client,
                                        "--advertise-client-urls",
                                        client,
                                        "--listen-peer-urls",
                                        peer,
                                        "--initial-advertise-peer-urls",
                                        peer,
                                        "--initial-cluster",
                                        absl::StrJoin(cluster, ","),
                                        "--logger",
                                        "zap",
                                        "--log-level",
                                        "error"};
    if (!certificate_folder.empty()) {
      command.insert(command.end(), {"--cert-file", certificate_folder + "/cert.pem", "--key-file",
                                     certificate_folder + "/key.pem"});
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    pids_.push_back(Start(command, absl::StrCat(folder_, "/m", i, ".log")));
  }
  if (!certificate_folder.empty()) return;
  const auto client = Connect();
  const absl::Time end = absl::Now() + kStartsWithin;
  absl::Status status;
  do {
    status = client->Get("x").status();
  } while (!status.ok() && absl::Now() < end);
  EXPECT_TRUE(status.ok()) << "etcd did not start: " << status;
}

EtcdProcesses::~EtcdProcesses() {
  for (size_t i = 0; i < pids_.size(); ++i) Kill(i);
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

std::string EtcdProcesses::address(const std::string& prefix) const {
  return absl::StrCat("etcd://", absl::StrJoin(endpoints_, ","), "/", prefix);
}

std::unique_ptr<EtcdClient> EtcdProcesses::Connect(absl::Duration patience) const {
  return std::make_unique<EtcdClient>(EtcdOptions{.endpoints = endpoints_, .patience = patience});
}

void EtcdProcesses::Freeze(size_t member) const {
  kill(pids_[member], SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(pids_[member], &status, WUNTRACED), pids_[member]);  // its threads have stopped
  EXPECT_TRUE(WIFSTOPPED(status));
}

void EtcdProcesses::Thaw(size_t member) const { kill(pids_[member], SIGCONT); }

void EtcdProcesses::Kill(size_t member) {
  if (pids_[member] <= 0) return;
  kill(pids_[member], SIGKILL);
  waitpid(std::exchange(pids_[member], -1), nullptr, 0);
}

}  // namespace hearth
