# make install: libraries, headers, programs, man pages, epx.pc and the CMake package epx.

include(CMakePackageConfigHelpers)

set(EPX_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/epx)

install(TARGETS epx epx_static EXPORT epx-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/epx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(EPX_PROGRAMS)
  install(TARGETS ${EPX_PROGRAMS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
file(GLOB pages CONFIGURE_DEPENDS man/*.[1-9])
foreach(page ${pages})
  string(REGEX MATCH "[1-9]$" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# epx.pc finds its prefix from where it lies, so that an installed tree can be moved.
file(RELATIVE_PATH EPX_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/epx.pc.in epx.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/epx.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/epx-config.cmake.in epx-config.cmake
  INSTALL_DESTINATION ${EPX_PACKAGE_DIR})
write_basic_package_version_file(epx-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/epx-config.cmake ${PROJECT_BINARY_DIR}/epx-config-version.cmake
  DESTINATION ${EPX_PACKAGE_DIR})
install(EXPORT epx-targets NAMESPACE epx:: DESTINATION ${EPX_PACKAGE_DIR})
