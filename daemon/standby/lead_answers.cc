#include "daemon/standby/lead_answers.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket.h"
#include "engine/base/printable.h"
#include "proto/channel.h"
#include "proto/hearth/v1/standby.grpc.pb.h"

namespace hearth {
namespace {

// A socket tells what gRPC does not: whether the machine says that nobody listens.
bool IsRefused(const absl::Status& connected) {
  return absl::EndsWith(connected.message(), std::generic_category().message(ECONNREFUSED));
}

bool IsSilence(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

}  // namespace

LeadAnswer AskWhoLeads(const std::string& address, const ConnectionKey& key, absl::Duration patience,
                       const v1::WhoLeadsRequest& request) {
  LeadAnswer answer;
  answer.address = address;
  const absl::Status connected =
      FrameSocket::Connect(address, FrameSocket::Clock::now() + absl::ToChronoNanoseconds(patience)).status();
  if (!connected.ok()) {
    answer.why = std::string(connected.message());
    if (IsRefused(connected)) answer.kind = LeadAnswer::Kind::kNobody;
    return answer;
  }
  const std::shared_ptr<grpc::Channel> channel = OpenChannel(address, key);
  // An attempt that fails on a busy machine is followed by others; the call tells why the last one did.
  channel->WaitForConnected(absl::ToChronoTime(absl::Now() + patience));
  v1::Standby::Stub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  const grpc::Status status = Uncancelled(stub.WhoLeads(&context, request, &answer.lead));
  if (IsSilence(status)) {
    answer.why = status.error_message();
  } else {
    answer.kind = status.ok() && !answer.lead.leads() ? LeadAnswer::Kind::kWorks : LeadAnswer::Kind::kLeads;
  }
  return answer;
}

std::vector<LeadAnswer> AskAllWhoLeads(absl::Span<const LeadQuestion> questions, absl::Duration patience,
                                       const v1::WhoLeadsRequest& request) {
  std::vector<LeadAnswer> answers(questions.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < questions.size(); ++i) {
    threads.emplace_back(
        [&, i] { answers[i] = AskWhoLeads(questions[i].address, questions[i].key, patience, request); });
  }
  for (std::thread& thread : threads) thread.join();
  return answers;
}

absl::Status CheckPromotion(absl::Span<const LeadAnswer> answers, bool force) {
  for (const LeadAnswer& answer : answers) {
    if (answer.kind != LeadAnswer::Kind::kLeads) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(answer.lead.host().empty() ? "a coordinator" : Printable(answer.lead.host()),
                     " leads the home and answers at ", answer.address,
                     ": there is nothing to take over while it lives; stop its hearthd first"));
  }
  for (const LeadAnswer& answer : answers) {
    if (answer.kind != LeadAnswer::Kind::kSilent || force) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("nobody can tell from here whether the coordinator lives: ", answer.address,
                     " does not answer (", Printable(answer.why),
                     "). Where its machine is off for good: hearth promote --force. Where it is only cut off "
                     "from this one, "
                     "two would lead"));
  }
  return absl::OkStatus();
}

}  // namespace hearth
