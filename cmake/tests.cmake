# Tests: tests/<label>/test_*.c are programs of their own; some of tests/ are scripts.
#   ctest --test-dir B -L unit        one label
# Exit status 77 means skipped. Labels `link` and `multi` hold many processes each.

option(BUILD_TESTING "build the tests" ON)
if(NOT BUILD_TESTING)
  return()
endif()
enable_testing()

set(test_env "")
foreach(pair "LSAN_OPTIONS;lsan" "TSAN_OPTIONS;tsan" "UBSAN_OPTIONS;ubsan")
  list(GET pair 0 variable)
  list(GET pair 1 name)
  if(EXISTS ${PROJECT_SOURCE_DIR}/tests/support/${name}.supp)
    list(APPEND test_env
      "${variable}=suppressions=${PROJECT_SOURCE_DIR}/tests/support/${name}.supp:print_suppressions=0")
  endif()
endforeach()

function(epx_test label name)
  add_test(NAME ${label}/${name} COMMAND ${ARGN})
  set_tests_properties(${label}/${name} PROPERTIES LABELS ${label} TIMEOUT 120 SKIP_RETURN_CODE 77
    ENVIRONMENT "${test_env}")
  if(label MATCHES "^(link|multi)$")
    set_tests_properties(${label}/${name} PROPERTIES PROCESSORS 4)
  endif()
endfunction()

pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
if(CMOCKA_FOUND)
  file(GLOB support CONFIGURE_DEPENDS tests/support/*.c)
  if(support)
    add_library(epx_test_support STATIC ${support})
    target_include_directories(epx_test_support PRIVATE src tests tools)
    target_link_libraries(epx_test_support PRIVATE epx_flags PkgConfig::CMOCKA)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS tests/*/test_*.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(label ${source} DIRECTORY)
    get_filename_component(label ${label} NAME)
    add_executable(${name} ${source})
    target_include_directories(${name} PRIVATE src tests tools)
    foreach(library epx_test_support epx_common)
      if(TARGET ${library})
        target_link_libraries(${name} PRIVATE ${library})
      endif()
    endforeach()
    target_link_libraries(${name} PRIVATE epx_flags epx_static ${EPX_LIBS} PkgConfig::CMOCKA)
    epx_test(${label} ${name} ${name})
  endforeach()
else()
  message(STATUS "skipped: the tests in C (no cmocka: apt-get install libcmocka-dev)")
endif()

# The library as an outsider sees it.
file(GLOB headers CONFIGURE_DEPENDS include/epx/*.h)
list(FILTER headers EXCLUDE REGEX "/mpi\\.h$") # belongs to libepx_mpi
epx_test(install exports ${PROJECT_SOURCE_DIR}/tests/install/check_exports
  $<TARGET_FILE:epx> ${headers})
if(NOT EPX_SANITIZE)
  epx_test(install package ${PROJECT_SOURCE_DIR}/tests/install/check_package ${PROJECT_BINARY_DIR})
endif()
epx_test(multi cluster ${PROJECT_SOURCE_DIR}/tests/cluster/test_cluster.sh)
if(TARGET example-hello)
  epx_test(multi hello ${PROJECT_SOURCE_DIR}/tests/install/check_hello $<TARGET_FILE:example-hello>)
endif()
