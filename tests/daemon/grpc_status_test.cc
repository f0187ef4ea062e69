#include "daemon/grpc_status.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(GrpcStatus, CodeAndMessageComeThrough) {
  const absl::Status status = absl::NotFoundError("no model is called 'küche'");
  EXPECT_EQ(ToGrpcStatus(status).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(GrpcStatus, MessageThatQuotesAnythingIsOneLineThatTheMetadataHolds) {
  std::string name;
  for (int i = 0; i < 9000; ++i) name += "ä\n\x1b";
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError(name));
  EXPECT_LE(3 * status.error_message().size(), size_t{8192} - 1024);
  EXPECT_EQ(status.error_message().find('\n'), std::string::npos);
  EXPECT_EQ(status.error_message().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace hearth
