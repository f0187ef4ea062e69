# What `cmake --install` puts where: the programs, what a service and a shell need of them, and what clients in other
# languages compile. It only copies and asks the programs for their help: build hearthd, hearth and hearth-model first.
include(GNUInstallDirs)

install(TARGETS hearthd hearth hearth-model RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/proto/hearth DESTINATION ${CMAKE_INSTALL_DATADIR}/hearth/proto
        FILES_MATCHING PATTERN "*.proto")
install(FILES ${CMAKE_SOURCE_DIR}/proto/connection_key.h ${CMAKE_SOURCE_DIR}/proto/connection_key.cc
        DESTINATION ${CMAKE_INSTALL_DATADIR}/hearth/proto)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/manual DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/hearth)
# Beside the programs, as they look for it; also where they were built.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/catalogue DESTINATION ${CMAKE_INSTALL_DATADIR}/hearth)
configure_file(${CMAKE_SOURCE_DIR}/deploy/catalogue/hearth.json ${CMAKE_BINARY_DIR}/share/hearth/catalogue/hearth.json COPYONLY)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/deploy/monitoring DESTINATION ${CMAKE_INSTALL_DATADIR}/hearth)
install(FILES ${CMAKE_SOURCE_DIR}/deploy/package/hearth.sysusers DESTINATION lib/sysusers.d RENAME hearth.conf)

# The rest depends on the prefix, which may be chosen at the time of installing.
find_program(HEARTH_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
configure_file(${CMAKE_CURRENT_LIST_DIR}/install_by_prefix.cmake.in ${CMAKE_BINARY_DIR}/install_by_prefix.cmake @ONLY)
install(SCRIPT ${CMAKE_BINARY_DIR}/install_by_prefix.cmake)
