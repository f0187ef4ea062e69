#ifndef HEARTH_TESTS_DAEMON_ETCD_ETCD_PROCESS_H_
#define HEARTH_TESTS_DAEMON_ETCD_ETCD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "daemon/etcd/etcd_client.h"

namespace hearth {

// Members of one etcd as processes on loopback, with free ports and a directory that goes with them.
class EtcdProcesses {
 public:
  static bool Installed();

  // `arguments`: further ones of each member. With `authority_folder`, which has cert.pem and key.pem,
  // clients have to speak TLS. Returns once it answers (without TLS).
  explicit EtcdProcesses(size_t members = 1, const std::vector<std::string>& arguments = {},
                         const std::string& certificate_folder = "");
  ~EtcdProcesses();
  EtcdProcesses(const EtcdProcesses&) = delete;
  EtcdProcesses& operator=(const EtcdProcesses&) = delete;

  const std::vector<std::string>& endpoints() const { return endpoints_; }  // HOST:PORT each
  std::string address(const std::string& prefix = "test") const;            // etcd://...
  std::unique_ptr<EtcdClient> Connect(absl::Duration patience = absl::Seconds(5)) const;

  // Stops all threads of a member, or lets them go on.
  void Freeze(size_t member) const;
  void Thaw(size_t member) const;
  void Kill(size_t member);

 private:
  std::string folder_;
  std::vector<std::string> endpoints_;
  std::vector<pid_t> pids_;
};

// For fixtures: skips the test where there is no etcd.
#define HEARTH_SKIP_WITHOUT_ETCD() \
  if (!EtcdProcesses::Installed()) GTEST_SKIP() << "etcd is not installed: deploy/install-dependencies.sh --tests"

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_ETCD_ETCD_PROCESS_H_
