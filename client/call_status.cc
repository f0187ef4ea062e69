#include "client/call_status.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/printable.h"
#include "proto/channel.h"

namespace hearth {
namespace {

// gRPC's own words for a server that is not there.
constexpr std::array kNotReached = {"failed to connect", "DNS resolution failed",
                                    "connections to all backends failing"};

constexpr size_t kMaxRequestBytes = size_t{4} << 20;  // what a gRPC server takes unless told otherwise

// The name of a string field, at any depth, that is no UTF-8; empty: all are.
std::string FieldWithoutUtf8(const google::protobuf::Message& message) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->type() == FieldDescriptor::TYPE_STRING) {
        const std::string text = field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                      : reflection.GetString(message, field);
        if (!IsUtf8(text)) return field->name();
      } else if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
        const std::string inner =
            FieldWithoutUtf8(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                                  : reflection.GetMessage(message, field));
        if (!inner.empty()) return inner;
      }
    }
  }
  return "";
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& ended, const std::string& server) {
  const grpc::Status status = Uncancelled(ended);
  if (status.ok()) return absl::OkStatus();
  const bool from_here = std::ranges::any_of(
      kNotReached, [&](const char* words) { return absl::StartsWith(status.error_message(), words); });
  if (NotReached(status) && from_here) {
    return absl::UnavailableError(absl::StrCat(
        "no hearthd answers at ", server,
        "; start one with `hearthd --model FILE.gguf`, or name another one with --server HOST:PORT"));
  }
  // The codes of both have the same numbers.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

bool NotReached(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         std::ranges::any_of(kNotReached, [&](const char* words) {
           return absl::StrContains(status.error_message(), words);
         });
}

void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

absl::Status CheckCanBeSent(const google::protobuf::Message& request) {
  if (const std::string field = FieldWithoutUtf8(request); !field.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", field, " is not valid UTF-8; convert it, for example with iconv"));
  }
  if (const size_t bytes = request.ByteSizeLong(); bytes > kMaxRequestBytes) {
    return absl::OutOfRangeError(absl::StrCat("the request has ", bytes, " bytes; at most ", kMaxRequestBytes,
                                              " can be sent; shorten the text"));
  }
  return absl::OkStatus();
}

}  // namespace hearth
