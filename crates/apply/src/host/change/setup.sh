# Changes one component on this host from the old state to the new one, or back, by itself.
#
# It is at <our folder>/runs/<run>/<step>/change.sh, beside its data, and runs detached from whoever
# started it:
#   change.sh act       begins the change
#   change.sh recover   ends a change that was cut off: it puts the old state back
#   change.sh accept    ends it with what is there, as a person decided
#
# Its data, in the folder of the step:
#   env       variables T_*                   files     what to replace, see below
#   before/   what was there, by line number of `files`
#   phase     acting, then undoing or done    verdict   one word, then one line for people
#   tree.sh   the prelude, and what is done below the framework's folder
# and, for all steps, stage/: payloads, by sha256.
#
# A line of `files` is: mode before after path. Before and after are a sha256 or `absent`; the path is
# relative to the framework's folder.
#
# What must stay true:
#   - `phase` says `acting`, on disk, before the first change.
#   - Every replacement is a rename within one folder. So whoever restarts the component meanwhile starts
#     the whole old program or the whole new one.
#   - Each part can be cut off anywhere, and done again.
#   - No path of a program stands on a command line, as start.sh kills every process that has it among
#     its arguments. So all paths are relative.
#
# Rights: below the framework's folder another user than root may put links and files at any moment. Root
# works there only if every folder on the way is its own. Otherwise tree.sh does the work with the rights
# of that user (see `in_component`).
#
# If it dies: a guard line in the crontab runs `recover` each minute. The line is there from before `current`
# exists until after `current` is gone. The verdict comes before this cleanup, so a verdict may be there
# a moment before the lock is free; `recover` of a change with a verdict only cleans up.

STEP_DIR=${0%/*}
TREE_SOURCED=1
# shellcheck disable=SC1091 # it stands before this script when it is checked
. "$STEP_DIR/tree.sh"
set -u
# shellcheck disable=SC1091 # it only sets the variables T_*
. "$STEP_DIR/env"
B=${STEP_DIR%/runs/*}
# Root makes the install path only where nobody else can put a link in its place.
if [ ! -d "$T_INSTALL" ]; then
  own_uid
  if [ "$S_UID" != 0 ] || trusted "$T_INSTALL"; then mkdir -p "$T_INSTALL" 2>/dev/null
  else AS_UID=$UNSAFE_UID AS_GID=65534; as_user 60 mkdir -p "$T_INSTALL" 2>/dev/null
  fi
fi
# The kernel names a running program by its real path.
cd -P "$T_INSTALL" || exit 1
REAL_INSTALL=$PWD

