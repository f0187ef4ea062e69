#include "tests/cluster/daemon_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

void AppendAll(const std::vector<std::string>& words, std::vector<char*>& to) {
  for (const std::string& word : words) to.push_back(const_cast<char*>(word.c_str()));
  to.push_back(nullptr);
}

// Starts a program whose standard output is `out`; its standard error goes to `log` (empty: to ours).
// `environment` is added to ours.
pid_t Spawn(const std::vector<std::string>& command, const std::vector<std::string>& environment, int out,
            const std::string& log) {
  std::vector<char*> arguments, variables;
  AppendAll(command, arguments);
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  AppendAll(environment, variables);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  dup2(out, STDOUT_FILENO);
  if (!log.empty()) dup2(open(log.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0644), STDERR_FILENO);
  execve(arguments[0], arguments.data(), variables.data());
  _exit(127);
}

// Reads until `done` says so, the writer closes or patience ends.
std::string ReadUntil(int fd, const std::function<bool(const std::string&)>& done) {
  std::string text;
  const absl::Time deadline = absl::Now() + kPatience;
  while (!done(text)) {
    pollfd wait = {fd, POLLIN, 0};
    const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left_ms <= 0 || poll(&wait, 1, static_cast<int>(left_ms)) <= 0) break;
    char buffer[4096];
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class Counts>
uint64_t Sum(const Counts& by_layer) {
  return std::accumulate(by_layer.begin(), by_layer.end(), uint64_t{0});
}

// Whether an active plan gives `host` a share for which `condition` holds.
template <class Condition>
bool HasActiveShare(const v1::ClusterStatus& status, const std::string& host, Condition condition) {
  for (const v1::PlanStatus& plan : status.plans()) {
    for (const v1::DeviceShare& share : plan.shares()) {
      if (plan.active() && share.host() == host && condition(share)) return true;
    }
  }
  return false;
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "hearth-test-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(path_); }

DaemonProcess::DaemonProcess(const std::string& folder, const std::string& name,
                             const std::vector<std::string>& arguments,
                             const std::vector<std::string>& environment) {
  std::vector<std::string> command = {HEARTHD,  "--name", name,          "--state-dir", folder + "/" + name,
                                      "--http", "off",    "--log-level", "debug"};
  if (std::find(arguments.begin(), arguments.end(), "--listen") == arguments.end()) {
    command.insert(command.end(), {"--listen", "127.0.0.1:0"});
  }
  command.insert(command.end(), arguments.begin(), arguments.end());
  const std::string log = folder + "/" + name + ".log";
  int out[2];
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  pid_ = Spawn(command, environment, out[1], log);
  close(out[1]);
  const std::string line = AwaitReadyLine(out[0]);
  close(out[0]);
  const size_t at = line.find(" on ");
  if (at == std::string::npos) {
    ADD_FAILURE() << name << " did not become ready: " << line << ReadFile(log);
    return;
  }
  address_ = line.substr(at + 4, line.find('\n') - at - 4);
}

std::string DaemonProcess::AwaitReadyLine(int fd) const {
  return ReadUntil(fd, [](const std::string& text) { return text.find('\n') != std::string::npos; });
}

DaemonProcess::~DaemonProcess() {
  if (pid_ > 0) Kill();
}

void DaemonProcess::Kill() {
  kill(pid_, SIGKILL);
  Reap();
}

void DaemonProcess::Freeze() const {
  kill(pid_, SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);  // its threads have stopped
  EXPECT_TRUE(WIFSTOPPED(status));
}

void DaemonProcess::Thaw() const { kill(pid_, SIGCONT); }

int DaemonProcess::Terminate() {
  kill(pid_, SIGTERM);
  return Reap();
}

int DaemonProcess::Reap() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool DaemonProcess::IsRunning() const {
  siginfo_t info = {};
  return pid_ > 0 && waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

uint64_t DaemonProcess::ResidentBytes() const {
  std::ifstream statm(absl::StrCat("/proc/", pid_, "/statm"));
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

Ended RunToItsEnd(const std::string& state_dir, const std::string& arguments) {
  const std::string command =
      absl::StrCat("timeout 60 " HEARTHD " --log-level off --listen 127.0.0.1:0 --http off --state-dir ",
                   state_dir, " ", arguments, " 2>&1 >/dev/null");
  FILE* const pipe = popen(command.c_str(), "r");
  Ended ended;
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) ended.errors += buffer.data();
  const int status = pclose(pipe);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  return ended;
}

bool AwaitCluster(Client& client, const std::function<bool(const v1::ClusterStatus&)>& condition) {
  bool met = false;
  v1::ClusterStatus last;
  (void)client.WatchCluster(
      [&](const v1::ClusterStatus& status) {
        last = status;
        met = condition(status);
        return !met;
      },
      kPatience);
  if (!met) ADD_FAILURE() << "the cluster did not get there; last seen:\n" << last.DebugString();
  return met;
}

bool AwaitAnyOf(const std::string& servers, const std::function<bool(const v1::ClusterStatus&)>& condition) {
  const absl::Time end = absl::Now() + kPatience;
  bool met = false;
  while (!met && absl::Now() < end) {
    (void)Client(servers).WatchCluster(
        [&](const v1::ClusterStatus& status) { return !(met = condition(status)); }, end - absl::Now());
  }
  return met;
}

bool Leads(const v1::ClusterStatus& status, const std::string& host) {
  return !status.hosts().empty() && status.hosts(0).name() == host;
}

bool HostHasShare(const v1::ClusterStatus& status, const std::string& host) {
  return HasActiveShare(status, host, [](const auto& share) { return Sum(share.neurons()) > 0; });
}

bool HostComputes(const v1::ClusterStatus& status, const std::string& host) {
  return HasActiveShare(status, host, [](const auto& share) { return Sum(share.neurons_computed()) > 0; });
}

bool OnlyCoordinatorHasShare(const v1::ClusterStatus& status, const std::string& coordinator) {
  if (!HostHasShare(status, coordinator)) return false;
  for (const v1::DeviceShare& share : status.plans(0).shares()) {
    if (share.host() != coordinator && Sum(share.neurons()) > 0) return false;
  }
  return true;
}

v1::GenerateRequest GreedyRequest(const std::string& prompt, uint32_t tokens) {
  v1::GenerateRequest request;
  request.set_text(prompt);
  request.set_max_tokens(tokens);
  request.set_ignore_eos(true);
  request.mutable_sampling()->set_temperature(0);
  return request;
}

std::vector<int> GenerateTokens(Client& client, const v1::GenerateRequest& request) {
  std::vector<int> tokens;
  const auto finished = client.Generate(request, [&](const v1::GenerateResponse& event) {
    tokens.insert(tokens.end(), event.delta().tokens().begin(), event.delta().tokens().end());
  });
  EXPECT_TRUE(finished.ok()) << finished.status();
  return tokens;
}

std::vector<int> ReferenceTokens(const std::string& model, const std::string& prompt, uint32_t tokens,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {
      HEARTH_MODEL,         "generate",      model, "--prompt",     prompt,  "-n",
      absl::StrCat(tokens), "--temperature", "0",   "--ignore-eos", "--json"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  int out[2];
  EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
  const pid_t pid = Spawn(command, {}, out[1], "");
  close(out[1]);
  const std::string text = ReadUntil(out[0], [](const std::string&) { return false; });
  close(out[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << text;
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.contains("tokens")) return {};
  return json["tokens"].get<std::vector<int>>();
}

}  // namespace hearth
