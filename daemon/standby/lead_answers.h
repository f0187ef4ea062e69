#ifndef HEARTH_DAEMON_STANDBY_LEAD_ANSWERS_H_
#define HEARTH_DAEMON_STANDBY_LEAD_ANSWERS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/standby.pb.h"

namespace hearth {

// What came of asking at an address who leads.
struct LeadAnswer {
  enum class Kind {
    kLeads,   // a coordinator, or something that answers and does not say what it is
    kWorks,   // a worker
    kNobody,  // the machine answers, and says that nobody listens there
    kSilent   // no answer: it is off, cut off or stopped; nobody can tell
  };
  std::string address;
  Kind kind = Kind::kSilent;
  v1::Lead lead;    // of kLeads and kWorks
  std::string why;  // of kSilent
};

// Calls HOST:PORT; takes `patience` at most for each of connecting and answering. `request`: of one that
// leads.
LeadAnswer AskWhoLeads(const std::string& address, const ConnectionKey& key, absl::Duration patience,
                       const v1::WhoLeadsRequest& request = {});

// The same of several at the same time; the answers are in the order of the questions.
struct LeadQuestion {
  std::string address;
  ConnectionKey key;
};
std::vector<LeadAnswer> AskAllWhoLeads(absl::Span<const LeadQuestion> questions, absl::Duration patience,
                                       const v1::WhoLeadsRequest& request = {});

// Whether a standby may take the lead after these answers: not while somebody leads, and where nobody can
// tell only by force. FAILED_PRECONDITION says in one line what to do.
absl::Status CheckPromotion(absl::Span<const LeadAnswer> answers, bool force);

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_LEAD_ANSWERS_H_
