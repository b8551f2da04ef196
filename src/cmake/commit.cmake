# Writes the commit of a checkout to a file, with "+changes" where files differ from it:
#   cmake -DSOURCE=<checkout> -DOUTPUT=<file> -P commit.cmake
# Sources of an sdist are no checkout: the file is not written then, even inside the checkout of another project.
file(REMOVE ${OUTPUT})
find_program(GIT git)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(
    COMMAND ${GIT} -c safe.directory=* describe --always --exclude=* --dirty=+changes --abbrev=12
    WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE FAILED)
  if(NOT FAILED)
    file(WRITE ${OUTPUT} "${COMMIT}\n")
  endif()
endif()
