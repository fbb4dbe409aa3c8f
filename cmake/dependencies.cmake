# What epx is built with. Required packages stop the configuration and name the package to install;
# an optional one that is missing skips what needs it, with one line.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(epx_require prefix module package)
  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${module})
  if(NOT ${prefix}_FOUND)
    message(FATAL_ERROR "epx needs ${module}, which pkg-config does not find: "
      "apt-get install ${package} (or run scripts/setup)")
  endif()
endfunction()

function(epx_optional prefix module package what)
  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${module})
  if(NOT ${prefix}_FOUND)
    message(STATUS "skipped: ${what} (no ${module}: apt-get install ${package})")
  endif()
  set(${prefix}_FOUND ${${prefix}_FOUND} PARENT_SCOPE)
endfunction()

epx_require(HWLOC hwloc libhwloc-dev)
epx_require(SODIUM libsodium libsodium-dev)
epx_optional(UCX ucx libucx-dev "the ucx link between nodes")
epx_optional(PMIX pmix libpmix-dev "ranks started by PMIx")

# An mpicc without its headers (only the run-time package is installed) makes FindMPI stop everything.
find_program(EPX_MPICC mpicc)
mark_as_advanced(EPX_MPICC)
if(EPX_MPICC)
  execute_process(COMMAND ${EPX_MPICC} -E -include mpi.h -x c /dev/null
    RESULT_VARIABLE mpicc_fails OUTPUT_QUIET ERROR_QUIET)
endif()
if(NOT mpicc_fails)
  find_package(MPI QUIET COMPONENTS C)
endif()
if(NOT MPI_C_FOUND)
  message(STATUS "skipped: everything over MPI (no MPI: apt-get install libopenmpi-dev)")
endif()

option(EPX_CUDA "build for CUDA" OFF)
if(EPX_CUDA)
  find_program(EPX_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(EPX_NVCC)
    message(STATUS "CUDA: ${EPX_NVCC} found; this version has no CUDA kernels yet, nothing is built for it")
  else()
    message(STATUS "skipped: CUDA (no nvcc: install the CUDA toolkit); this version has no CUDA kernels yet")
  endif()
endif()
