# For building on amd64 what runs on 64-bit ARM (Raspberry Pi 4 and 5, mini PCs), on Debian 12. Its libraries are Debian's
# own, of the architecture arm64 beside the machine's; some of them exclude those of amd64, so do it in a system that is
# for this alone (debootstrap --variant=minbase bookworm DIR):
#
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install --no-install-recommends crossbuild-essential-arm64 qemu-user cmake ninja-build pkg-config git python3 \
#       protobuf-compiler protobuf-compiler-grpc nlohmann-json3-dev libcli11-dev libeigen3-dev \
#       {libgrpc++-dev,libprotobuf-dev,libabsl-dev,coinor-libcbc-dev,libhwy-dev,libpcre2-dev,libssl-dev}:arm64 \
#       {liburing-dev,libxxhash-dev,libcurl4-openssl-dev,prometheus-cpp-dev,libtomlplusplus-dev,libspdlog-dev,libboost1.81-dev,libsqlite3-dev}:arm64 \
#       {libgtest-dev,libgmock-dev,libbenchmark-dev}:arm64
#   cmake -S . -B build/arm64 -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_TOOLCHAIN_FILE=deploy/cmake/arm64.cmake
#   cmake --build build/arm64
#   deploy/package.sh --arch arm64 --build-dir build/arm64
#
# Tests, and programs that are asked for their help, run under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)

# pkg-config answers for the other architecture; programs that the build runs are this machine's.
set(PKG_CONFIG_EXECUTABLE /usr/bin/aarch64-linux-gnu-pkg-config)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(HEARTH_CUDA OFF CACHE STRING "There is no cross-compiler for CUDA here")
