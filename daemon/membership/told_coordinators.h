#ifndef HEARTH_DAEMON_MEMBERSHIP_TOLD_COORDINATORS_H_
#define HEARTH_DAEMON_MEMBERSHIP_TOLD_COORDINATORS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "daemon/coordinator_addresses.h"

namespace hearth {

// Whether it is an address HOST:PORT of a length that names have, which lists with commas and lines can hold.
bool IsPlaceToLead(std::string_view address);

// What a worker's coordinator has told it of where others may lead, and in which term it leads itself. It is
// used beside the addresses that the worker was given, and kept in a file, since one that starts while its
// own coordinator is away is told by nobody. For one thread.
class ToldCoordinators {
 public:
  // Adds to `addresses`, which are the given ones, what the file at `path` has; one that was written beside
  // other given ones, or is damaged, is as good as none. `path` empty: neither keeps nor uses anything.
  ToldCoordinators(std::string path, CoordinatorAddresses addresses);

  // In place of what was told before. A file that cannot be written is a warning, once. UNAVAILABLE, and
  // nothing is taken, where the home has had a coordinator of a later term.
  absl::Status Take(const std::vector<std::string>& told, const Term& term = {});

 private:
  std::vector<std::string> Read();
  void Use(const std::vector<std::string>& told);
  void Write();

  const std::string path_;
  const CoordinatorAddresses addresses_;
  const std::string given_;
  std::vector<std::string> told_;
  Term term_;
  bool warned_ = false;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_TOLD_COORDINATORS_H_
