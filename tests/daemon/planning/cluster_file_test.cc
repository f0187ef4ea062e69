#include "daemon/planning/cluster_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace hearth {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ClusterFileTest : public ::testing::Test {
 protected:
  void ExpectRefused(const std::string& message) {
    const absl::Status status = ParseClusterJson(document_.dump()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }

  json& device() { return document_["hosts"][1]["devices"][0]; }

  json document_ = json::parse(R"({
    "leader": "b",
    "hosts": [
      {"name": "a", "devices": [{"name": "gpu", "kind": "gpu", "memory": "8GiB", "read_bytes_per_s": 9e11,
                                 "operations_per_s": 4e13, "dispatch_us": 10}],
       "link": {"round_trip_us": 180, "bytes_per_s": 117000000}},
      {"name": "b", "devices": [{"name": "cpu", "kind": "cpu", "memory": 4096, "read_bytes_per_s": 3e10,
                                 "operations_per_s": 8e11}]}]})");
};

TEST_F(ClusterFileTest, EveryFieldIsRead) {
  const placement::Cluster cluster = ParseClusterJson(document_.dump()).value();
  EXPECT_EQ(cluster.leader, 1u);
  const placement::Host& host = cluster.hosts[0];
  EXPECT_EQ(host.link.round_trip_us, 180);
  EXPECT_EQ(host.link.bytes_per_s, 117e6);
  EXPECT_EQ(host.devices[0].kind, placement::DeviceKind::kGpu);
  EXPECT_EQ(host.devices[0].memory_bytes, uint64_t{8} << 30);
  EXPECT_EQ(host.devices[0].dispatch_us, 10);
  EXPECT_EQ(cluster.hosts[1].devices[0].memory_bytes, 4096u);
}

TEST_F(ClusterFileTest, FirstHostLeadsUnlessNamed) {
  document_.erase("leader");
  document_["hosts"][1]["link"] = document_["hosts"][0]["link"];
  EXPECT_EQ(ParseClusterJson(document_.dump())->leader, 0u);
}

TEST_F(ClusterFileTest, WrittenClusterReadsBackTheSame) {
  const placement::Cluster cluster = ParseClusterJson(document_.dump()).value();
  const std::string text = ClusterToJson(cluster);
  EXPECT_EQ(ClusterToJson(ParseClusterJson(text).value()), text);
}

TEST_F(ClusterFileTest, HelpShowsADocumentThatParses) {
  const std::string help(ClusterFileHelp());
  const size_t begin = help.find('{');
  const size_t end = help.rfind('}');
  EXPECT_TRUE(ParseClusterJson(help.substr(begin, end - begin + 1)).ok());
}

TEST_F(ClusterFileTest, BrokenJsonIsRefused) {
  EXPECT_THAT(std::string(ParseClusterJson("{\"hosts\": [").status().message()), HasSubstr("not valid JSON"));
  EXPECT_THAT(std::string(ParseClusterJson("").status().message()), HasSubstr("not valid JSON"));
  EXPECT_THAT(std::string(ParseClusterJson("[]").status().message()), HasSubstr("expected an object"));
}

TEST_F(ClusterFileTest, MisspeltFieldIsRefusedWithItsPlace) {
  device()["memroy"] = 1;
  ExpectRefused("hosts[1].devices[0]: unknown field \"memroy\"");
}

TEST_F(ClusterFileTest, MissingFieldIsRefusedWithItsPlace) {
  device().erase("read_bytes_per_s");
  ExpectRefused("hosts[1].devices[0]: \"read_bytes_per_s\" must be a number");
}

TEST_F(ClusterFileTest, WrongKindsOfValuesAreRefused) {
  device()["memory"] = -5;
  ExpectRefused("\"memory\" must be a number of bytes");
  device()["memory"] = "much";
  ExpectRefused("\"much\" is no number of bytes");
  device()["memory"] = 1;
  device()["kind"] = "tpu";
  ExpectRefused("\"kind\" must be \"cpu\", \"gpu\" or \"disk\"");
  device()["kind"] = 7;
  ExpectRefused("\"kind\" must be a text");
}

TEST_F(ClusterFileTest, NameThatATerminalWouldNotShowIsRefused) {
  const json good = document_;
  document_["hosts"][0]["name"] = "a\x1b[2J\nforged line";
  ExpectRefused("hosts[0]: \"name\"");
  document_ = good;
  device()["name"] = "";
  ExpectRefused("hosts[1].devices[0]: \"name\"");
  device()["name"] = std::string(10000, 'x');
  ExpectRefused("hosts[1].devices[0]: \"name\"");
}

TEST_F(ClusterFileTest, ProcessorsStandBeforeCardsAsInADaemon) {
  json card = document_["hosts"][0]["devices"][0];
  document_["hosts"][1]["devices"].insert(document_["hosts"][1]["devices"].begin(), card);
  const placement::Cluster cluster = ParseClusterJson(document_.dump()).value();
  EXPECT_EQ(cluster.hosts[1].devices[0].kind, placement::DeviceKind::kCpu);
  EXPECT_EQ(cluster.hosts[1].devices[1].name, "gpu");
}

TEST_F(ClusterFileTest, ImpossibleFigureIsRefused) {
  device()["read_bytes_per_s"] = 0;
  ExpectRefused("host b, device cpu: read_bytes_per_s is 0");
}

TEST_F(ClusterFileTest, HostWithoutLinkIsRefused) {
  document_["hosts"][0].erase("link");
  ExpectRefused("hosts[0]: every host but the leader needs a \"link\"");
}

TEST_F(ClusterFileTest, UnknownLeaderIsRefused) {
  document_["leader"] = "c";
  ExpectRefused("the leader \"c\" is none of the hosts");
}

TEST_F(ClusterFileTest, NoHostsIsRefused) {
  document_["hosts"] = json::array();
  document_.erase("leader");
  ExpectRefused("the cluster has no hosts");
  document_["hosts"] = 3;
  ExpectRefused("\"hosts\" must be an array");
}

TEST_F(ClusterFileTest, MissingFileIsNotFound) {
  const absl::Status status = ReadClusterFile("/nonexistent/cluster.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/cluster.json"));
}

TEST_F(ClusterFileTest, ErrorsInAFileNameTheFile) {
  const std::string path = ::testing::TempDir() + "/broken_cluster.json";
  std::ofstream(path) << "{";
  EXPECT_THAT(std::string(ReadClusterFile(path).status().message()), HasSubstr(path));
}

}  // namespace
}  // namespace hearth
