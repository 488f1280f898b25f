shared |Context 0:0.5 1:0.0
'shoe |Features 0:1.0 1:0.0
0:-1.0:0.25 'hat |Features 0:0.5 1:2.0
'bag |Features 0:0.0 1:-1.5

shared |Context 0:1.0 1:-2.0
'bag |Features 0:0.0 1:-1.5
0:0.0:0.75 'shoe |Features 0:1.0 1:0.0

shared |Context 0:0.25 1:0.001
'shoe |Features 0:1.0 1:0.0
'hat |Features 0:0.5 1:2.0
0:0.5:0.375 'bag |Features 0:0.0 1:-1.5

shared |Context 0:0.0 1:0.0
'shoe |Features 0:1.0 1:0.0
0:-2.25:0.5 'hat |Features 0:0.5 1:2.0
'bag |Features 0:0.0 1:-1.5

