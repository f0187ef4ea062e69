#include "daemon/joining/applicants.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace hearth {

absl::Status Applicants::Greet(const std::string& network, TimePoint now) {
  if (network_rate_.Allow(network, now) && rate_.Allow("", now)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "too many have asked to be let in here lately: wait some minutes, or join with a code of `hearth "
      "invite`");
}

absl::StatusOr<Applicants::Ticket> Applicants::Add(Applicant applicant, const std::string& network) {
  DropOverdue(applicant.since);
  entries_.remove_if([&](const Entry& entry) { return entry.applicant.id == applicant.id; });
  const auto of_network = static_cast<size_t>(std::count_if(
      entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.network == network; }));
  if (entries_.size() >= kMost || of_network >= kPerNetwork) {
    return absl::ResourceExhaustedError(
        absl::StrCat(entries_.size(),
                     " hosts wait here to be let in: decide about them with `hearth approve` on the "
                     "coordinator's machine, or join with a code of `hearth invite`"));
  }
  // Else nobody could tell which of the two was meant.
  if (std::any_of(entries_.begin(), entries_.end(),
                  [&](const Entry& entry) { return entry.applicant.code == applicant.code; })) {
    return absl::AbortedError("another host waits with the same code: try again");
  }
  entries_.push_back({next_, network, std::move(applicant)});
  return next_++;
}

void Applicants::Remove(Ticket ticket) {
  entries_.remove_if([&](const Entry& entry) { return entry.ticket == ticket; });
}

absl::StatusOr<Applicants::Taken> Applicants::Take(const std::string& code, TimePoint now) {
  DropOverdue(now);
  if (now < hears_again_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMostWrong,
                     " codes within a minute were wrong: wait a minute, and type the code that the "
                     "other machine shows"));
  }
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.applicant.code == code; });
  if (found != entries_.end()) {
    Taken taken{found->ticket, std::move(found->applicant)};
    entries_.erase(found);
    return taken;
  }
  std::erase_if(wrong_, [&](TimePoint time) { return now - time >= kInterval; });
  wrong_.push_back(now);
  if (wrong_.size() >= kMostWrong) {
    wrong_.clear();
    hears_again_ = now + kInterval;
  }
  return absl::NotFoundError(
      "no host that waits here shows this code: compare it with the other machine's; if it is the same that "
      "one waits no more, or has asked another than this: stop it, and let it join by a code of `hearth "
      "invite`");
}

std::vector<Applicant> Applicants::List(TimePoint now) {
  DropOverdue(now);
  std::vector<Applicant> list;
  for (const Entry& entry : entries_) list.push_back(entry.applicant);
  return list;
}

void Applicants::DropOverdue(TimePoint now) {
  entries_.remove_if([&](const Entry& entry) { return now - entry.applicant.since >= kPatience; });
}

}  // namespace hearth
