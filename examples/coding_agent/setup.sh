# The set-up step, which has network access. Later steps need none.
set -eu
python -m pip install 'servicectx[cli,pytest,postgres,redis]'
servicectx run postgres redis -- true # prepares the data directories
servicectx doctor postgres redis
