"""The checks of `mq9fast doctor`. Each returns findings, and changes nothing on the machine."""
