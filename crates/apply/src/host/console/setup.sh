# Replaces the management console (TarsWeb) on this host by another release, or puts the old one back, by itself.
#
# It is at <our folder>/runs/<run>/<step>/change.sh, beside its data, and runs detached from whoever
# started it, as the change of a component does:
#   change.sh act       begins the change
#   change.sh recover   ends a change that was cut off: with the new release if that was found healthy
#                       before, with the old one otherwise
#   change.sh accept    ends it with what is there, as a person decided
#
# Its data, in the folder of the step:
#   env       variables T_*                   before/   what was there, for the undo
#   files     the configuration: `before after path`, a line each; before is a sha256 or `absent`
#   phase     acting    the old console is as it was
#             stopping  the old console is being stopped, and its folder replaced
#             healthy   the new console was found healthy
#             undoing   the old console is put back
#             done      what starts the console starts the new one
#   verdict   one word, then one line for people
# and in stage/: the release's archive and the configuration, by sha256.
#
# What must stay true:
#   - `phase` is on disk before the first command that it stands for.
#   - The console's folder is replaced by renames within one folder, and so are files/ and log/ moved into the
#     new one. Which folder is the old one is seen by its inode, wherever it is.
#   - No path of the console leads through a link: PM2 would remember what the link led to.
#   - The state of PM2 is read from its list, never from the status of its command, and only where a daemon
#     runs: its command starts one otherwise.
#   - No JavaScript of the console is evaluated here. `node --check` only parses.
#   - Nothing but the console is stopped: a process of its folder, of its user, that runs bin/www.

STEP_DIR=${0%/*}
# shellcheck disable=SC1091 # it stands before this script when it is checked
. "$STEP_DIR/tree.sh"
set -u
# shellcheck disable=SC1091 # it only sets the variables T_*
. "$STEP_DIR/env"
B=${STEP_DIR%/runs/*}
cd / || exit 1
# The folder that holds the console's, the new one before it is in its place, and the old one afterwards.
PARENT=${T_WEB%/*} RETIRED=$T_WEB.old-$T_RUN
NEW=${T_BACK:-$T_WEB.new-$T_RUN}
# What no release brings: packages of the framework, and logs.
DATA='files log'
