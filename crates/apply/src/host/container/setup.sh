# Replaces the framework's container on this host by another one, or puts the old one back, by itself.
#
# It is at <our folder>/runs/<run>/<step>/change.sh, beside its data, and runs detached from whoever
# started it, as the change of a component does:
#   change.sh act       begins the change
#   change.sh recover   ends a change that was cut off: with the new container if that was found healthy
#                       before, with the old one otherwise
#   change.sh accept    ends it with what is there, as a person decided
#
# Its data, in the folder of the step:
#   env       variables T_*                   before/   what was there, for the undo
#   phase     acting    the old container is as it was
#             stopping  the old container is being stopped, and does not start by itself
#             healthy   the new container was found healthy
#             undoing   the old container is put back
#             done      the new container starts by itself, and the old one does not
#   verdict   one word, then one line for people
#
# What must stay true:
#   - `phase` is on disk before the first command that it stands for.
#   - Each command of the engine is whole or nothing, and each part can be done again. What was done is seen
#     by names, labels and states, and never by what a command printed.
#   - No container starts by itself with the engine while two exist: both have the policy `no` until one of
#     them is found healthy.
#   - A container is absent only where the engine gave a list without it. An engine that does not answer
#     leads to another try, and to nothing else.
#   - A container that may drop the framework's databases at its start is not started, stopped or changed.
#   - The password of the installation is in our environment, and on no command line and in no file of ours.
#
# The lock is inherited by each command of the engine: if this script dies, nobody begins before the command
# that it has sent is over.

STEP_DIR=${0%/*}
# shellcheck disable=SC1091 # it stands before this script when it is checked
. "$STEP_DIR/tree.sh"
set -u
# shellcheck disable=SC1091 # it only sets the variables T_*
. "$STEP_DIR/env"
B=${STEP_DIR%/runs/*}
cd / || exit 1
# The engine is the one that the spec names, whatever the profile of a user says.
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
unset DOCKER_CONTENT_TRUST DOCKER_DEFAULT_PLATFORM
DOCKER_CONFIG=$STEP_DIR/docker; export DOCKER_CONFIG
# Only the command that needs it has it in its environment.
PASSWORD=${MYSQL_ROOT_PASSWORD:-}; unset MYSQL_ROOT_PASSWORD
# A new container has this name until the old one is stopped, and the old one that name afterwards.
NEW_NAME=$T_NAME.new RETIRED_NAME=$T_NAME.old-$T_RUN
# A run that undoes its own step puts aside what that has made, and what comes back has that name until then.
case $STEP_DIR in *.back) RETIRED_NAME=$RETIRED_NAME-b ;; esac

