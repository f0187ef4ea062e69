// Both ends of the tensor channel over loopback: TensorServer, RemoteDevice and the link probe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <random>

#include "daemon/channel/frame_socket.h"
#include "daemon/channel/link_probe.h"
#include "daemon/channel/remote_device.h"
#include "daemon/channel/shard_shape.h"
#include "daemon/channel/tensor_server.h"
#include "daemon/channel/wire_input.h"
#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;
using Clock = FrameSocket::Clock;

Clock::time_point Soon() { return Clock::now() + std::chrono::seconds(30); }

class TensorChannelTest : public ::testing::Test {
 protected:
  TensorChannelTest() {
    token_.fill(7);
    server_->SetSession(token_);
    share_ = fixture_.Load(
        fixture_.Describe(5, [](const UnitId& unit) { return unit.number % 2 == 0 ? "a" : "b"; }), devices_);
    shape_ = ShapeOf(5, fixture_.outline(), ShardFixture::kOptions, share_->shares());
    heads_ = share_->cache_ids().size();
    server_->Publish(5, share_, nullptr);
  }

  absl::StatusOr<std::unique_ptr<FrameSocket>> Open() {
    std::vector<uint64_t> cache_ids(heads_);
    return OpenTensorConnection(server_->address(), token_, 5, Soon(), absl::MakeSpan(cache_ids));
  }

  std::unique_ptr<RemoteDevice> Connect() {
    auto socket = Open();
    EXPECT_TRUE(socket.ok()) << socket.status();
    return std::make_unique<RemoteDevice>("worker", shape_, kPatient, *std::move(socket));
  }

  // Hands the device a layer's input and collects its sums.
  absl::Status Ask(RemoteDevice& device, uint32_t layer, absl::Span<int64_t> sums) const {
    return device.Collect(device.Submit(fixture_.Ffn(layer, x_)), sums);
  }

  // Whether the server closes the connection instead of answering.
  static bool IsClosed(FrameSocket& socket) {
    const auto answer = socket.ReceiveHeader(Soon());
    return absl::IsUnavailable(answer.status());
  }

  std::unique_ptr<FrameSocket> Stranger() { return FrameSocket::Connect(server_->address(), Soon()).value(); }

  FrameHeader FfnHeader() const {
    FrameHeader header;
    header.operation = FrameOperation::kFfn;
    header.type = FrameType::kFloat32;
    header.epoch = 5;
    header.ticket = 1;
    header.rows = 1;
    header.payload_bytes = fixture_.embedding() * sizeof(float);
    return header;
  }

  // With it a worker is never lost for its slowness alone.
  const ExpectedTimes kPatient{std::vector<double>(5, 1e9), std::vector<double>(5, 1e9), 1e9};
  const ShardFixture fixture_;
  HostDevices devices_{{{"a", 1, uint64_t{1} << 30}, {"b", 1, uint64_t{1} << 30}}};
  SessionToken token_;
  std::unique_ptr<TensorServer> server_ = TensorServer::Open("127.0.0.1:0").value();
  std::shared_ptr<HostShare> share_;
  ShardShape shape_;
  size_t heads_ = 0;
  const std::vector<float> x_ = fixture_.Input(4, 9);
};

TEST_F(TensorChannelTest, RemoteDeviceGivesTheSumsOfTheLocalOnes) {
  const std::unique_ptr<RemoteDevice> device = Connect();
  for (uint32_t step = 0; step < 20; ++step) {
    const uint32_t layer = step % 2;
    std::vector<int64_t> sums(x_.size(), 3);  // collecting adds
    ASSERT_TRUE(Ask(*device, layer, absl::MakeSpan(sums)).ok());
    DeviceSet local(share_->devices());
    std::vector<int64_t> expected = ShardFixture::Run(local, fixture_.Ffn(layer, x_));
    for (int64_t& value : expected) value += 3;
    ASSERT_EQ(sums, expected);
  }
  EXPECT_EQ(device->counters().round_trips, 20);
  EXPECT_EQ(device->network_bytes(),
            20 * (2 * kFrameHeaderBytes + WireInputBytes(FrameType::kRounded, 4, fixture_.embedding(), 32) +
                  x_.size() * sizeof(int32_t)));
  EXPECT_EQ(server_->refused(), 0);
}

// The remote device beside a local share of its own.
class RemoteUnitsTest : public TensorChannelTest {
 protected:
  RemoteUnitsTest()
      : local_(fixture_.Load(fixture_.Describe(1, [](const UnitId&) { return "a"; }), local_devices_)),
        locals_(local_->devices()),
        remote_(Connect()),
        remotes_({remote_.get()}) {}

  static std::vector<RowPlace> Places(uint32_t begin, uint32_t end) {
    std::vector<RowPlace> places;
    for (uint32_t p = begin; p < end; ++p) places.push_back({1, p, p % 2 == 0});
    return places;
  }

  HostDevices local_devices_{{{"a", 1, uint64_t{1} << 30}, {"b", 1, uint64_t{1} << 30}}};
  std::shared_ptr<HostShare> local_;
  DeviceSet locals_;
  std::unique_ptr<RemoteDevice> remote_;
  DeviceSet remotes_;
};

TEST_F(RemoteUnitsTest, HeadsGiveTheSumsOfTheLocalOnesAndKeepTheirCache) {
  uint64_t step = 0;
  for (const auto& [begin, end] : {std::pair{0u, 4u}, std::pair{4u, 8u}, std::pair{8u, 12u}}) {
    const std::vector<RowPlace> places = Places(begin, end);
    ++step;
    for (uint32_t layer = 0; layer < 5; ++layer) {
      const MixRequest request = fixture_.Mix(step, layer, places, x_);
      ASSERT_EQ(ShardFixture::Run(remotes_, request), ShardFixture::Run(locals_, request)) << layer;
    }
  }
}

TEST_F(RemoteUnitsTest, OutputRowsGiveTheLogitsOfTheLocalOnes) {
  const uint32_t vocabulary = fixture_.outline().spec.n_vocab;
  std::vector<float> near(4 * vocabulary, -1), far(4 * vocabulary, -2);
  ShardFixture::Run(locals_, OutputRequest{4, x_.data(), near.data(), vocabulary});
  ShardFixture::Run(remotes_, OutputRequest{4, x_.data(), far.data(), vocabulary});
  EXPECT_EQ(far, near);
}

TEST_F(RemoteUnitsTest, CacheIsReadAndWrittenAcrossTheWire) {
  const std::vector<RowPlace> first = Places(0, 4), next = Places(4, 8);
  ShardFixture::Run(locals_, fixture_.Mix(1, 0, first, x_));
  const std::vector<int64_t> expected = ShardFixture::Run(locals_, fixture_.Mix(2, 0, next, x_));
  for (uint32_t group = 0; group < fixture_.outline().head_groups[0].size(); ++group) {
    const KvRange range{0, group, 1, 0, 4};
    const auto bytes = locals_.ReadKv(range);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(remotes_.WriteKv(range, *bytes).ok());
    EXPECT_EQ(*remotes_.ReadKv(range), *bytes);
  }
  EXPECT_EQ(ShardFixture::Run(remotes_, fixture_.Mix(3, 0, next, x_)), expected);
}

TEST_F(RemoteUnitsTest, SeveralRequestsMayBeOnTheirWay) {
  const std::vector<RowPlace> places = Places(0, 4);
  const MixRequest mix = fixture_.Mix(1, 2, places, x_);
  std::vector<int64_t> mixed(SumsOf(mix)), summed(x_.size());
  remotes_.Submit(mix);
  remotes_.Submit(fixture_.Ffn(2, x_));
  ASSERT_TRUE(remotes_.Collect(Work::kMix, absl::MakeSpan(mixed)).ok());
  ASSERT_TRUE(remotes_.Collect(Work::kFfn, absl::MakeSpan(summed)).ok());
  EXPECT_EQ(mixed, ShardFixture::Run(locals_, mix));
  EXPECT_EQ(summed, ShardFixture::Run(locals_, fixture_.Ffn(2, x_)));
}

TEST_F(RemoteUnitsTest, PositionBeyondTheContextLosesTheConnection) {
  const std::vector<RowPlace> places = {{1, ShardFixture::kOptions.context_length, false}};
  const std::vector<float> x = fixture_.Input(1, 2);
  const MixRequest request = fixture_.Mix(1, 0, places, x);
  std::vector<int64_t> sums(SumsOf(request));
  EXPECT_EQ(remote_->Collect(remote_->Submit(request), absl::MakeSpan(sums)).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->refused(), 1);
}

TEST_F(TensorChannelTest, SubmitDoesNotWaitForAPeerThatDoesNotRead) {
  boost::asio::io_context context;
  boost::asio::ip::tcp::acceptor silent(context, {boost::asio::ip::address_v4::loopback(), 0});
  const std::string address = absl::StrCat("127.0.0.1:", silent.local_endpoint().port());
  // More than the system takes for a connection.
  ShardShape shape = shape_;
  shape.limits.max_rows = 8192;
  shape.n_embd = 4096;
  const std::vector<float> x(size_t{8192} * 4096);
  RemoteDevice device("worker", shape, kPatient, FrameSocket::Connect(address, Soon()).value());
  FfnRequest request{.layer = 0, .rows = 8192, .x = x.data()};
  const Clock::time_point start = Clock::now();
  const Ticket ticket = device.Submit(request);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
  std::thread closer([&] { device.Close("enough"); });
  std::vector<int64_t> sums(8);
  EXPECT_EQ(device.Collect(ticket, absl::MakeSpan(sums)).code(), absl::StatusCode::kUnavailable);
  closer.join();
}

TEST_F(TensorChannelTest, StoppedServerMakesTheDeviceUnavailable) {
  const std::unique_ptr<RemoteDevice> device = Connect();
  server_.reset();
  std::vector<int64_t> sums(x_.size());
  const absl::Status status = Ask(*device, 0, absl::MakeSpan(sums));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker"));
  EXPECT_TRUE(device->lost());
  EXPECT_EQ(Ask(*device, 0, absl::MakeSpan(sums)).code(), absl::StatusCode::kUnavailable);
}

TEST_F(TensorChannelTest, CloseFromAnotherThreadEndsAWaitingCollect) {
  // A listener that never answers a request.
  auto silent = TensorServer::Open("127.0.0.1:0").value();
  silent->SetSession(token_);
  auto socket = OpenTensorConnection(silent->address(), token_, 0, Soon()).value();
  FrameSocket* raw = socket.get();
  RemoteDevice device("worker", shape_, kPatient, std::move(socket));
  FrameHeader ping;
  ping.operation = FrameOperation::kPing;
  ping.payload_bytes = 16;
  ASSERT_TRUE(raw->Send(ping, {std::vector<uint8_t>(16)}, Soon()).ok());
  ASSERT_TRUE(raw->ReceiveHeader(Soon()).ok());
  std::thread closer([&] { device.Close("no sync for 1200 ms"); });
  std::vector<int64_t> sums(x_.size());
  const absl::Status status = device.Collect(1, absl::MakeSpan(sums));
  closer.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no sync for 1200 ms"));
}

TEST_F(TensorChannelTest, WorkerThatTakesMuchLongerThanThePlanExpectsIsLost) {
  // Accepts connections, as a stopped process does, and never answers.
  boost::asio::io_context context;
  boost::asio::ip::tcp::acceptor silent(context, {boost::asio::ip::address_v4::loopback(), 0});
  const std::string address = absl::StrCat("127.0.0.1:", silent.local_endpoint().port());
  RemoteDevice device("worker", shape_, {std::vector<double>(5, 10), std::vector<double>(5, 10), 10},
                      FrameSocket::Connect(address, Soon()).value());
  const Clock::time_point start = Clock::now();
  std::vector<int64_t> sums(x_.size());
  const absl::Status status = Ask(device, 0, absl::MakeSpan(sums));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no answer in time"));
  EXPECT_TRUE(device.lost());
  EXPECT_GE(Clock::now() - start, std::chrono::seconds(1));
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
}

TEST_F(TensorChannelTest, BlockThatTheLayerDoesNotHaveIsRefused) {
  const auto socket = Open().value();
  FrameHeader header = FfnHeader();
  header.choices = 1;
  header.payload_bytes += sizeof(BlockChoice);
  const auto send = [&](const BlockChoice& choice) {
    const auto* x = reinterpret_cast<const uint8_t*>(x_.data());
    const auto* chosen = reinterpret_cast<const uint8_t*>(&choice);
    return socket->Send(header, {{x, fixture_.embedding() * sizeof(float)}, {chosen, sizeof(choice)}},
                        Soon());
  };
  ASSERT_TRUE(send({0, 1.0f}).ok());
  const FrameHeader answer = socket->ReceiveHeader(Soon()).value();
  std::vector<uint8_t> sums(answer.payload_bytes);
  ASSERT_TRUE(socket->Receive(absl::MakeSpan(sums), Soon()).ok());
  ASSERT_TRUE(send({7, 1.0f}).ok());  // the layer has one block
  EXPECT_TRUE(IsClosed(*socket));
}

TEST_F(TensorChannelTest, StrangersThatSayNothingDoNotKeepTheLeaderOut) {
  std::vector<std::unique_ptr<FrameSocket>> strangers;
  for (int i = 0; i < 100; ++i) strangers.push_back(Stranger());
  const std::unique_ptr<RemoteDevice> device = Connect();
  std::vector<int64_t> sums(x_.size());
  EXPECT_TRUE(Ask(*device, 0, absl::MakeSpan(sums)).ok());
}

TEST_F(TensorChannelTest, WithdrawnEpochClosesItsConnectionsAndLetsTheShardGo) {
  const std::unique_ptr<RemoteDevice> device = Connect();
  std::weak_ptr<HostShare> weak = share_;
  share_.reset();
  server_->Withdraw(5);
  std::vector<int64_t> sums(x_.size());
  const absl::Status status = Ask(*device, 0, absl::MakeSpan(sums));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  server_.reset();  // joins the connection's thread
  EXPECT_TRUE(weak.expired());
}

TEST_F(TensorChannelTest, HelloOfAnUnknownEpochIsRefused) {
  EXPECT_EQ(OpenTensorConnection(server_->address(), token_, 6, Soon()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(TensorChannelTest, HelloWithAnotherTokenIsRefused) {
  SessionToken other = token_;
  other[31] ^= 1;
  EXPECT_EQ(OpenTensorConnection(server_->address(), other, 5, Soon()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(TensorChannelTest, NewSessionClosesTheConnectionsOfTheOld) {
  const std::unique_ptr<RemoteDevice> device = Connect();
  SessionToken other = token_;
  other[0] ^= 1;
  server_->SetSession(other);
  std::vector<int64_t> sums(x_.size());
  const absl::Status status = Ask(*device, 0, absl::MakeSpan(sums));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(TensorChannelTest, FrameOfAnotherEpochClosesTheConnection) {
  const auto socket = Open().value();
  FrameHeader header = FfnHeader();
  header.epoch = 4;
  const std::vector<uint8_t> payload(header.payload_bytes);
  ASSERT_TRUE(socket->Send(header, {payload}, Soon()).ok());
  EXPECT_TRUE(IsClosed(*socket));
  Connect();  // the server goes on
}

TEST_F(TensorChannelTest, OversizedFrameClosesTheConnectionBeforeItsPayload) {
  const auto socket = Open().value();
  FrameHeader header = FfnHeader();
  header.rows = 9;  // the plan allows 8
  header.payload_bytes = 9 * fixture_.embedding() * sizeof(float);
  // Only the header is sent: the server must not wait for the rest.
  FrameHeader carrier = header;
  carrier.payload_bytes = 0;
  ASSERT_TRUE(socket->Send(carrier, {}, Soon()).ok());
  EXPECT_TRUE(IsClosed(*socket));
}

TEST_F(TensorChannelTest, RandomBytesCloseTheConnectionAndHarmNothing) {
  std::mt19937 random(1);
  for (int i = 0; i < 50; ++i) {
    const auto socket = Stranger();
    FrameHeader noise;
    noise.epoch = random();
    noise.operation = static_cast<FrameOperation>(1 + random() % 12);
    noise.rows = random();
    noise.layer = random();
    std::vector<uint8_t> payload(random() % 500);
    for (uint8_t& byte : payload) byte = static_cast<uint8_t>(random());
    noise.payload_bytes = payload.size();
    (void)socket->Send(noise, {payload}, Soon());
    EXPECT_TRUE(IsClosed(*socket));
  }
  const std::unique_ptr<RemoteDevice> device = Connect();
  std::vector<int64_t> sums(x_.size());
  EXPECT_TRUE(Ask(*device, 0, absl::MakeSpan(sums)).ok());
  EXPECT_GE(server_->refused(), 1);
}

TEST_F(TensorChannelTest, RequestBeforeHelloIsRefused) {
  const auto socket = Stranger();
  const std::vector<uint8_t> payload(FfnHeader().payload_bytes);
  ASSERT_TRUE(socket->Send(FfnHeader(), {payload}, Soon()).ok());
  EXPECT_TRUE(IsClosed(*socket));
}

TEST_F(TensorChannelTest, LinkIsMeasured) {
  const auto link = ProbeLink(server_->address(), token_);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_GT(link->round_trip_us, 0);
  EXPECT_GT(link->bytes_per_s, 1e6);
}

TEST_F(TensorChannelTest, LinkToNobodyIsUnavailableAndNamesTheAddress) {
  const std::string address = server_->address();
  server_.reset();
  const auto link = ProbeLink(address, token_);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr(address));
}

TEST(TensorServer, PortInUseIsAClearError) {
  const auto first = TensorServer::Open("127.0.0.1:0").value();
  const auto second = TensorServer::Open(first->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(first->address()));
}

TEST(ParseHostPort, AddressesAreSplitOrRefused) {
  EXPECT_EQ(ParseHostPort("host:80")->port, 80);
  EXPECT_EQ(ParseHostPort("[::1]:80")->host, "::1");
  EXPECT_EQ(FormatHostPort(*ParseHostPort("[::1]:80")), "[::1]:80");
  for (const char* bad : {"", "host", ":80", "host:", "host:x", "host:65536", "::1:80"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace hearth
